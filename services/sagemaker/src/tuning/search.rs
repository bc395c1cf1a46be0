//! What to try next: Random, Grid and Bayesian search.
//!
//! Pure and seeded: the same job with the same results behind it tries the same next. Hyperband is not here: it needs
//! training jobs that report their resource as they go, and is refused by name.

use serde_json::{Map, Value};

use super::{
    gauss::{self, Seen},
    random::Random,
    space::Space,
};

/// How a tuning job searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Evenly over the space, blind to results.
    Random,
    /// Every combination of categories, in order.
    Grid,
    /// Where a model of the objective promises the most.
    Bayesian,
}

/// Before so many results, and one for each dimension up to ten, a Bayesian search draws at random.
const BLIND: usize = 3;

/// What is known when the next training job is thought out.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    /// Values and the objective, of which less is better; in the order of the training jobs.
    pub seen: Vec<(&'a Map<String, Value>, f64)>,
    /// Values that are being tried.
    pub pending: Vec<&'a Map<String, Value>>,
}

/// The values of training job `number` (from 0) of a search. `turn` counts those that search the same space.
pub(crate) fn next(strategy: Strategy, space: &Space, seed: u64, number: usize, turn: usize, known: &Known<'_>) -> Map<String, Value> {
    let mut random = Random::of(seed, number as u64);
    let blind = BLIND.max(space.dimensions().min(10));
    match strategy {
        Strategy::Grid => space.combination(turn),
        Strategy::Bayesian if known.seen.len() >= blind => {
            let seen = known.seen.iter().filter_map(|(values, value)| Some(Seen { at: space.encode(values)?, value: *value }));
            let seen: Vec<_> = seen.collect();
            let pending: Vec<_> = known.pending.iter().filter_map(|values| space.encode(values)).collect();
            let best = known.seen.iter().min_by(|one, other| one.1.total_cmp(&other.1)).and_then(|(values, _)| space.point(values));
            let encode = |point: &[f64]| space.encode(&space.values(point));
            space.values(&gauss::next(space.dimensions(), &seen, &pending, &mut random, encode, best.as_deref()))
        }
        Strategy::Random | Strategy::Bayesian => space.values(&random.point(space.dimensions())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space() -> Space {
        Space::read(&json!({
            "ContinuousParameterRanges": [
                {"Name": "rate", "MinValue": "0.0001", "MaxValue": "1", "ScalingType": "Logarithmic"},
                {"Name": "x", "MinValue": "-2", "MaxValue": "2", "ScalingType": "Linear"},
            ],
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "10"}],
            "CategoricalParameterRanges": [{"Name": "kind", "Values": ["good", "bad", "worse"]}],
        }))
        .unwrap()
    }

    fn number(values: &Map<String, Value>, name: &str) -> f64 {
        values[name].as_str().unwrap().parse().unwrap()
    }

    /// Least, 0, at rate 0.01, x 0.7, depth 4, kind good.
    fn objective(values: &Map<String, Value>) -> f64 {
        let kind = ["good", "bad", "worse"].iter().position(|kind| values["kind"] == *kind).unwrap() as f64;
        (number(values, "rate").log10() + 2.0).powi(2)
            + (number(values, "x") - 0.7).powi(2)
            + (number(values, "depth") - 4.0).powi(2) / 9.0
            + kind
    }

    /// The best of so many, one after the other.
    fn best(strategy: Strategy, seed: u64, count: usize) -> f64 {
        let (space, mut tried) = (space(), Vec::<(Map<String, Value>, f64)>::new());
        for index in 0..count {
            let known = Known { seen: tried.iter().map(|(values, value)| (values, *value)).collect(), pending: Vec::new() };
            let values = next(strategy, &space, seed, index, index, &known);
            let value = objective(&values);
            tried.push((values, value));
        }
        tried.into_iter().map(|(_, value)| value).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_model_finds_what_chance_does_not() {
        let of = |strategy| (0..5).map(|seed| best(strategy, seed, 25)).sum::<f64>() / 5.0;
        let (random, bayesian) = (of(Strategy::Random), of(Strategy::Bayesian));
        assert!(bayesian < 0.5 * random, "Bayesian {bayesian}, random {random}");
    }

    #[test]
    fn the_same_seed_tries_the_same() {
        for strategy in [Strategy::Random, Strategy::Bayesian] {
            assert_eq!(best(strategy, 3, 12).to_bits(), best(strategy, 3, 12).to_bits());
            assert_ne!(best(strategy, 3, 2).to_bits(), best(strategy, 4, 2).to_bits());
        }
    }

    #[test]
    fn what_is_being_tried_is_not_tried_again() {
        let space = space();
        let draws: Vec<_> = (0..8).map(|index| next(Strategy::Random, &space, 1, index, index, &Known::default())).collect();
        let seen: Vec<_> = draws.iter().map(|values| (values, objective(values))).collect();
        let first = next(Strategy::Bayesian, &space, 1, 9, 9, &Known { seen: seen.clone(), pending: Vec::new() });
        let second = next(Strategy::Bayesian, &space, 1, 9, 9, &Known { seen, pending: vec![&first] });
        assert_ne!(first, second);
    }
}
