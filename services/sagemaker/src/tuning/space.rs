//! The space that a tuning job searches: its ranges, values in them, and how values lie to each other.
//!
//! Values are the texts that training jobs get. A point of the unit cube becomes values ([`Space::values`]), values
//! become coordinates for a model of the objective ([`Space::encode`]): numbers by their range's scaling, categories
//! as one coordinate each, because none is nearer to another.

use serde_json::{Map, Value, json};
use tenantry_core::Result;

use crate::error::validation;

/// Hyperparameters that may be searched ("Resource Limits for Automatic Model Tuning").
pub(crate) const MAX_DIMENSIONS: usize = 30;
/// `Auto` scales by logarithm where the bounds are this far apart.
const WIDE: f64 = 1000.0;
/// Coordinates of two categories are apart as far as the ends of a range.
const APART: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// What is searched, in the order integers, continuous numbers, categories.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Space(Vec<Dimension>);

#[derive(Debug, Clone, PartialEq)]
struct Dimension {
    name: String,
    range: Range,
}

#[derive(Debug, Clone, PartialEq)]
enum Range {
    /// Inclusive bounds.
    Integer(i64, i64, Scaling),
    Continuous(f64, f64, Scaling),
    Categories(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scaling {
    Linear,
    Logarithmic,
    ReverseLogarithmic,
}

impl Scaling {
    fn of(word: &str, low: f64, high: f64) -> Self {
        match word {
            "Logarithmic" => Self::Logarithmic,
            "ReverseLogarithmic" => Self::ReverseLogarithmic,
            "Linear" => Self::Linear,
            _ if low > 0.0 && high / low >= WIDE => Self::Logarithmic,
            _ => Self::Linear,
        }
    }

    /// Where values are as far from each other as the search takes them.
    fn into(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.ln(),
            Self::ReverseLogarithmic => -(1.0 - value).ln(),
        }
    }

    fn out_of(self, scaled: f64) -> f64 {
        match self {
            Self::Linear => scaled,
            Self::Logarithmic => scaled.exp(),
            Self::ReverseLogarithmic => 1.0 - (-scaled).exp(),
        }
    }

    fn value(self, low: f64, high: f64, unit: f64) -> f64 {
        let (from, to) = (self.into(low), self.into(high));
        self.out_of(from + unit * (to - from)).clamp(low, high)
    }

    fn unit(self, low: f64, high: f64, value: f64) -> f64 {
        let (from, to) = (self.into(low), self.into(high));
        if to > from { ((self.into(value) - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 }
    }
}

impl Space {
    /// Reads `ParameterRanges`.
    ///
    /// # Errors
    /// `ValidationException` for bounds that are none, scalings that the bounds do not allow, names given twice,
    /// nothing to search, or too much.
    pub fn read(ranges: &Value) -> Result<Self> {
        let of = |kind: &str| ranges[kind].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut dimensions: Vec<Dimension> = Vec::new();
        for range in of("IntegerParameterRanges") {
            let (low, high, word) = bounds::<i64>(range)?;
            let scaling = scaling(range, word, low as f64, high as f64)?;
            if scaling == Scaling::ReverseLogarithmic {
                return Err(refused(range, "ReverseLogarithmic scaling is for continuous ranges only"));
            }
            dimensions.push(Dimension { name: name(range), range: Range::Integer(low, high, scaling) });
        }
        for range in of("ContinuousParameterRanges") {
            let (low, high, word) = bounds::<f64>(range)?;
            if !low.is_finite() || !high.is_finite() {
                return Err(refused(range, "the bounds must be finite numbers"));
            }
            dimensions.push(Dimension { name: name(range), range: Range::Continuous(low, high, scaling(range, word, low, high)?) });
        }
        for range in of("CategoricalParameterRanges") {
            let values: Vec<_> = range["Values"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect();
            if values.is_empty() {
                return Err(refused(range, "it has no values"));
            }
            dimensions.push(Dimension { name: name(range), range: Range::Categories(values) });
        }
        if dimensions.is_empty() {
            return Err(validation("At least one hyperparameter range is required."));
        }
        if dimensions.len() > MAX_DIMENSIONS {
            return Err(validation(format!("At most {MAX_DIMENSIONS} hyperparameters can be searched.")));
        }
        for (index, dimension) in dimensions.iter().enumerate() {
            if dimensions[..index].iter().any(|other| other.name == dimension.name) {
                return Err(validation(format!("Hyperparameter `{}` has more than one range.", dimension.name)));
            }
        }
        Ok(Self(dimensions))
    }

    /// How many hyperparameters are searched.
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|dimension| dimension.name.as_str())
    }

    /// The values at a point whose coordinates are from 0 to 1, one for each hyperparameter.
    pub fn values(&self, point: &[f64]) -> Map<String, Value> {
        let text = |(dimension, unit): (&Dimension, &f64)| {
            let text = match &dimension.range {
                // Each whole number gets its part of the range.
                Range::Integer(low, high, scaling) => {
                    let value = scaling.value(*low as f64, *high as f64 + 1.0, *unit).floor();
                    (value as i64).clamp(*low, *high).to_string()
                }
                Range::Continuous(low, high, scaling) => scaling.value(*low, *high, *unit).to_string(),
                Range::Categories(values) => values[((unit * values.len() as f64) as usize).min(values.len() - 1)].clone(),
            };
            (dimension.name.clone(), json!(text))
        };
        self.0.iter().zip(point).map(text).collect()
    }

    /// Coordinates of values; `None` where they are none of this space.
    pub fn encode(&self, values: &Map<String, Value>) -> Option<Vec<f64>> {
        let mut coordinates = Vec::new();
        for dimension in &self.0 {
            let text = values.get(&dimension.name)?.as_str()?;
            match &dimension.range {
                Range::Integer(low, high, scaling) => {
                    let value: i64 = text.parse().ok().filter(|value| (low..=high).contains(&value))?;
                    coordinates.push(scaling.unit(*low as f64, *high as f64, value as f64));
                }
                Range::Continuous(low, high, scaling) => {
                    let value: f64 = text.parse().ok().filter(|value| (*low..=*high).contains(value))?;
                    coordinates.push(scaling.unit(*low, *high, value));
                }
                Range::Categories(known) => {
                    let at = known.iter().position(|known| known == text)?;
                    coordinates.extend((0..known.len()).map(|index| if index == at { APART } else { 0.0 }));
                }
            }
        }
        Some(coordinates)
    }

    /// The middle of where in the unit cube values come from; `None` where they are none of this space.
    pub fn point(&self, values: &Map<String, Value>) -> Option<Vec<f64>> {
        let unit = |dimension: &Dimension| {
            let text = values.get(&dimension.name)?.as_str()?;
            match &dimension.range {
                Range::Integer(low, high, scaling) => {
                    Some(scaling.unit(*low as f64, *high as f64 + 1.0, text.parse::<i64>().ok()? as f64 + 0.5))
                }
                Range::Continuous(low, high, scaling) => Some(scaling.unit(*low, *high, text.parse().ok()?)),
                Range::Categories(known) => {
                    let at = known.iter().position(|known| known == text)?;
                    Some((at as f64 + 0.5) / known.len() as f64)
                }
            }
        };
        self.0.iter().map(unit).collect()
    }

    /// How many combinations there are; `None` where a range is not of categories, or they are more than can be counted.
    pub fn combinations(&self) -> Option<usize> {
        self.0.iter().try_fold(1_usize, |product, dimension| match &dimension.range {
            Range::Categories(values) => product.checked_mul(values.len()),
            _ => None,
        })
    }

    /// The combination with this number, from 0; the last hyperparameter changes fastest.
    pub fn combination(&self, number: usize) -> Map<String, Value> {
        let mut rest = number;
        let mut values = Map::new();
        for dimension in self.0.iter().rev() {
            if let Range::Categories(known) = &dimension.range {
                values.insert(dimension.name.clone(), json!(known[rest % known.len()]));
                rest /= known.len();
            }
        }
        values
    }
}

fn name(range: &Value) -> String {
    range["Name"].as_str().unwrap_or_default().to_owned()
}

fn refused(range: &Value, why: &str) -> tenantry_core::AwsError {
    validation(format!("Invalid range of hyperparameter `{}`: {why}.", name(range)))
}

fn bounds<T: std::str::FromStr + PartialOrd>(range: &Value) -> Result<(T, T, &str)> {
    let bound = |member: &str| range[member].as_str().and_then(|text| text.trim().parse::<T>().ok());
    let (Some(low), Some(high)) = (bound("MinValue"), bound("MaxValue")) else {
        return Err(refused(range, "MinValue and MaxValue must be numbers of its type"));
    };
    if low > high {
        return Err(refused(range, "MinValue must not be greater than MaxValue"));
    }
    Ok((low, high, range["ScalingType"].as_str().unwrap_or("Auto")))
}

fn scaling(range: &Value, word: &str, low: f64, high: f64) -> Result<Scaling> {
    match Scaling::of(word, low, high) {
        Scaling::Logarithmic if low <= 0.0 => Err(refused(range, "Logarithmic scaling needs values greater than 0")),
        Scaling::ReverseLogarithmic if low < 0.0 || high >= 1.0 => {
            Err(refused(range, "ReverseLogarithmic scaling needs values from 0 to below 1"))
        }
        scaling => Ok(scaling),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: &str, high: &str, scaling: &str) -> Value {
        json!({"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scaling})
    }

    fn continuous(low: &str, high: &str, scaling: &str) -> Result<Space> {
        Space::read(&json!({"ContinuousParameterRanges": [range(low, high, scaling)]}))
    }

    fn integer(low: &str, high: &str, scaling: &str) -> Result<Space> {
        Space::read(&json!({"IntegerParameterRanges": [range(low, high, scaling)]}))
    }

    fn at(space: &Space, unit: f64) -> f64 {
        space.values(&[unit])["x"].as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn scalings() {
        for (scaling, low, middle, high) in [
            ("Linear", "0", 0.5, "1"),
            ("Logarithmic", "0.0001", 0.01, "1"),
            ("Auto", "1e-4", 0.01, "1"),
            ("Auto", "0.01", 0.505, "1"),
            ("ReverseLogarithmic", "0", 0.9, "0.99"),
        ] {
            let space = continuous(low, high, scaling).unwrap();
            assert!((at(&space, 0.5) - middle).abs() < 1e-9, "{scaling} {low}");
            let (low, high): (f64, f64) = (low.parse().unwrap(), high.parse().unwrap());
            assert!((at(&space, 0.0) - low).abs() < 1e-12 && (at(&space, 1.0) - high).abs() < 1e-12, "{scaling} {low}");
            let back = space.encode(&space.values(&[0.3])).unwrap();
            assert!((back[0] - 0.3).abs() < 1e-9, "{scaling}");
        }
    }

    #[test]
    fn whole_numbers_are_equally_likely_and_within_bounds() {
        let space = integer("1", "4", "Linear").unwrap();
        let drawn: Vec<f64> = (0..8).map(|i| at(&space, (f64::from(i) + 0.5) / 8.0)).collect();
        assert_eq!(drawn, [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!((at(&space, 0.0), at(&space, 1.0)), (1.0, 4.0));
        let wide = integer("1", "10000", "Auto").unwrap();
        assert!(at(&wide, 0.5) < 200.0, "by logarithm");
        assert_eq!(at(&integer("-5", "-5", "Linear").unwrap(), 0.7), -5.0);
    }

    #[test]
    fn what_is_no_range() {
        for (space, words) in [
            (continuous("0", "1", "Logarithmic"), "greater than 0"),
            (continuous("0", "1", "ReverseLogarithmic"), "below 1"),
            (integer("0", "0", "ReverseLogarithmic"), "continuous"),
            (continuous("2", "1", "Linear"), "not be greater"),
            (continuous("NaN", "1", "Linear"), "finite"),
            (continuous("0", "inf", "Linear"), "finite"),
            (integer("0.5", "2", "Linear"), "numbers of its type"),
            (Space::read(&json!({})), "At least one"),
            (
                Space::read(&json!({"CategoricalParameterRanges": [{"Name": "a", "Values": ["1"]}, {"Name": "a", "Values": ["2"]}]})),
                "more than one",
            ),
            (Space::read(&json!({"CategoricalParameterRanges": [{"Name": "a", "Values": []}]})), "no values"),
        ] {
            let error = space.unwrap_err();
            assert!(error.code == "ValidationException" && error.message.contains(words), "{error} lacks {words}");
        }
        let many = |count: usize| json!({"CategoricalParameterRanges": (0..count).map(|i| json!({"Name": format!("c{i}"), "Values": ["a"]})).collect::<Vec<_>>()});
        assert!(Space::read(&many(MAX_DIMENSIONS)).is_ok() && Space::read(&many(MAX_DIMENSIONS + 1)).is_err());
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let space = Space::read(
            &json!({"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}, {"Name": "b", "Values": ["x", "y", "z"]}]}),
        );
        let space = space.unwrap();
        let all: std::collections::BTreeSet<String> =
            (0..space.combinations().unwrap()).map(|number| json!(space.combination(number)).to_string()).collect();
        assert_eq!((all.len(), space.combinations()), (6, Some(6)));
        assert_eq!(integer("1", "2", "Linear").unwrap().combinations(), None);
        for number in 0..6 {
            let values = space.combination(number);
            assert_eq!(space.values(&space.point(&values).unwrap()), values);
        }
        let (one, other) = (space.encode(&space.combination(0)).unwrap(), space.encode(&space.combination(1)).unwrap());
        let distance: f64 = one.iter().zip(&other).map(|(a, b)| (a - b).powi(2)).sum();
        assert!((distance - 1.0).abs() < 1e-9);
        assert_eq!(space.encode(&Map::new()), None);
    }
}
