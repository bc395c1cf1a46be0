//! Gaussian process regression, and where to look next by expected improvement (Mockus, 1978; Jones and others, 1998).
//!
//! The kernel is Matérn's with ν = 5/2; its length and the noise are those of a small grid that explain the
//! observations best. A few hundred lines of exact algebra are enough because a tuning job has hundreds of training jobs at most,
//! and the model sees the best and the latest of them: a suggestion costs the same however long the job runs. There is
//! no library: those at hand bring a linear algebra stack, and what is needed is one factorisation.

use super::random::Random;

/// Observations that the model is made of.
pub(crate) const MOST: usize = 100;
/// Points that are compared, drawn anywhere and near the best.
const ANYWHERE: usize = 300;
const NEARBY: usize = 100;
/// Lengths, in units of the whole range; more dimensions need longer ones.
const LENGTHS: [f64; 5] = [0.1, 0.2, 0.4, 0.8, 1.6];
/// Variances of the noise, where that of the observations is 1.
const NOISES: [f64; 3] = [1e-6, 1e-2, 1e-1];

/// What was seen: coordinates, and the value there, of which less is better.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Coordinates.
    pub at: Vec<f64>,
    /// The objective.
    pub value: f64,
}

/// A point of the unit cube of `dimensions` that promises the most, given what was seen and where it is being looked at.
/// `encode` makes coordinates of a point. Deterministic in its arguments.
pub(crate) fn next(
    dimensions: usize,
    seen: &[Seen],
    pending: &[Vec<f64>],
    random: &mut Random,
    encode: impl Fn(&[f64]) -> Option<Vec<f64>>,
    near: Option<&[f64]>,
) -> Vec<f64> {
    let seen = kept(seen);
    let mut model = Model::fit(&seen);
    // What is not known yet is taken to come out as expected, so that nobody looks there twice.
    for at in pending.iter().take(MOST) {
        let (mean, _) = model.predict(at);
        model.add(at.clone(), mean);
    }
    let best = model.values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut found: Option<(f64, Vec<f64>)> = None;
    for index in 0..ANYWHERE + NEARBY {
        let mut point = random.point(dimensions);
        if let (true, Some(centre)) = (index >= ANYWHERE, near) {
            for (coordinate, centre) in point.iter_mut().zip(centre) {
                *coordinate = (centre + (*coordinate - 0.5) * 0.2).clamp(0.0, 1.0);
            }
        }
        let Some(at) = encode(&point) else { continue };
        let (mean, variance) = model.predict(&at);
        let promise = improvement(best, mean, variance);
        if found.as_ref().is_none_or(|(most, _)| promise > *most) {
            found = Some((promise, point));
        }
    }
    found.map_or_else(|| random.point(dimensions), |(_, point)| point)
}

/// The best half and the latest half, in their order.
fn kept(seen: &[Seen]) -> Vec<Seen> {
    if seen.len() <= MOST {
        return seen.to_vec();
    }
    let mut order: Vec<usize> = (0..seen.len() - MOST / 2).collect();
    order.sort_by(|a, b| seen[*a].value.total_cmp(&seen[*b].value));
    order.truncate(MOST / 2);
    order.sort_unstable();
    order.extend(seen.len() - MOST / 2..seen.len());
    order.into_iter().map(|index| seen[index].clone()).collect()
}

/// Expected improvement on `best`.
fn improvement(best: f64, mean: f64, variance: f64) -> f64 {
    let deviation = variance.max(1e-12).sqrt();
    let z = (best - mean) / deviation;
    (best - mean) * normal(z) + deviation * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// The normal distribution function, to about 1e-7 (Abramowitz and Stegun 7.1.26).
fn normal(z: f64) -> f64 {
    let x = z.abs() * std::f64::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let above = 0.5 * series * (-x * x).exp();
    if z > 0.0 { 1.0 - above } else { above }
}

/// Observations with mean 0 and variance 1, and the factor of their covariance.
struct Model {
    at: Vec<Vec<f64>>,
    values: Vec<f64>,
    length: f64,
    noise: f64,
    /// Lower triangle, row by row.
    factor: Vec<Vec<f64>>,
    /// The covariance's inverse times the values.
    weights: Vec<f64>,
}

impl Model {
    fn fit(seen: &[Seen]) -> Self {
        let at: Vec<Vec<f64>> = seen.iter().map(|seen| seen.at.clone()).collect();
        let count = (seen.len() as f64).max(1.0);
        let mean = seen.iter().map(|seen| seen.value).sum::<f64>() / count;
        let deviation = (seen.iter().map(|seen| (seen.value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let scale = if deviation > 0.0 && deviation.is_finite() { deviation } else { 1.0 };
        let values: Vec<f64> = seen.iter().map(|seen| ((seen.value - mean) / scale).clamp(-1e6, 1e6)).collect();
        let stretch = (at.first().map_or(1, Vec::len) as f64).sqrt();
        let mut best: Option<(f64, Self)> = None;
        for length in LENGTHS.map(|length| length * stretch) {
            for noise in NOISES {
                let mut model = Self { at: at.clone(), values: values.clone(), length, noise, factor: Vec::new(), weights: Vec::new() };
                model.factorise();
                let likelihood = model.likelihood();
                if best.as_ref().is_none_or(|(most, _)| likelihood > *most) {
                    best = Some((likelihood, model));
                }
            }
        }
        let empty = Self { at, values, length: stretch, noise: NOISES[0], factor: Vec::new(), weights: Vec::new() };
        best.map_or(empty, |(_, model)| model)
    }

    fn covariance(&self, one: &[f64], other: &[f64]) -> f64 {
        let distance = one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let r = 5.0_f64.sqrt() * distance / self.length;
        (1.0 + r + r * r / 3.0) * (-r).exp()
    }

    /// Cholesky's factorisation of all rows that have none yet, then the weights.
    fn factorise(&mut self) {
        for row in self.factor.len()..self.at.len() {
            let mut line = Vec::with_capacity(row + 1);
            for column in 0..=row {
                let mut value = self.covariance(&self.at[row], &self.at[column]);
                if row == column {
                    value += self.noise;
                }
                let other = if row == column { &line } else { &self.factor[column] };
                let product: f64 = line.iter().zip(other.iter().take(column)).map(|(a, b): (&f64, &f64)| a * b).sum();
                let value = value - product;
                line.push(if row == column { value.max(1e-10).sqrt() } else { value / self.factor[column][column] });
            }
            self.factor.push(line);
        }
        let half = self.forward(&self.values);
        self.weights = self.backward(half);
    }

    fn forward(&self, right: &[f64]) -> Vec<f64> {
        let mut solved: Vec<f64> = Vec::with_capacity(right.len());
        for (row, line) in self.factor.iter().enumerate() {
            let product: f64 = line.iter().zip(&solved).map(|(a, b)| a * b).sum();
            solved.push((right[row] - product) / line[row]);
        }
        solved
    }

    fn backward(&self, mut right: Vec<f64>) -> Vec<f64> {
        for row in (0..right.len()).rev() {
            right[row] /= self.factor[row][row];
            let value = right[row];
            for (below, factor) in right[..row].iter_mut().zip(&self.factor[row]) {
                *below -= factor * value;
            }
        }
        right
    }

    /// Logarithm of the marginal likelihood, without its constant.
    fn likelihood(&self) -> f64 {
        let fit: f64 = self.values.iter().zip(&self.weights).map(|(value, weight)| value * weight).sum();
        let size: f64 = self.factor.iter().enumerate().map(|(row, line)| line[row].ln()).sum();
        -0.5 * fit - size
    }

    /// Mean and variance of the objective at a point.
    fn predict(&self, at: &[f64]) -> (f64, f64) {
        let covariances: Vec<f64> = self.at.iter().map(|known| self.covariance(known, at)).collect();
        let mean = covariances.iter().zip(&self.weights).map(|(covariance, weight)| covariance * weight).sum();
        let explained: f64 = self.forward(&covariances).iter().map(|part| part * part).sum();
        (mean, (1.0 - explained).max(0.0))
    }

    fn add(&mut self, at: Vec<f64>, value: f64) {
        self.at.push(at);
        self.values.push(value);
        self.factorise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(points: &[(f64, f64)]) -> Vec<Seen> {
        points.iter().map(|(at, value)| Seen { at: vec![*at], value: *value }).collect()
    }

    #[test]
    fn the_model_goes_through_what_it_has_seen() {
        let points = [(0.0, 3.0), (0.3, 1.0), (0.5, 0.0), (0.9, 2.0)];
        let model = Model::fit(&seen(&points));
        for (index, (at, _)) in points.iter().enumerate() {
            let (mean, variance) = model.predict(&[*at]);
            assert!((mean - model.values[index]).abs() < 0.3 && variance < 0.3, "{at}: {mean} {variance}");
        }
        let (_, far) = model.predict(&[9.0]);
        assert!(far > 0.5, "what is far away is not known: {far}");
    }

    #[test]
    fn a_factor_grown_by_one_is_the_factor_of_all() {
        let mut grown = Model::fit(&seen(&[(0.0, 3.0), (0.3, 1.0), (0.5, 0.0)]));
        grown.add(vec![0.9], 0.25);
        let mut whole = Model { factor: Vec::new(), ..Model::fit(&[]) };
        (whole.at, whole.values, whole.length, whole.noise) = (grown.at.clone(), grown.values.clone(), grown.length, grown.noise);
        whole.factorise();
        assert_eq!((whole.factor, whole.weights), (grown.factor, grown.weights));
    }

    #[test]
    fn the_normal_distribution() {
        for (z, wanted) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9), (6.0, 1.0)] {
            assert!((normal(z) - wanted).abs() < 1e-6, "{z}");
        }
        assert!(improvement(0.0, -1.0, 1e-12) > 0.99 && improvement(0.0, 1.0, 1e-12) < 1e-6);
    }

    #[test]
    fn odd_observations_do_no_harm() {
        let same: Vec<Seen> = (0..20).map(|_| Seen { at: vec![0.5, 0.5], value: 1.0 }).collect();
        let huge = vec![Seen { at: vec![0.1, 0.1], value: f64::MAX }, Seen { at: vec![0.9, 0.9], value: f64::MIN }];
        for observations in [Vec::new(), same, huge] {
            let point = next(2, &observations, &[vec![0.5, 0.5]], &mut Random::of(1, 1), |point| Some(point.to_vec()), None);
            assert!(point.len() == 2 && point.iter().all(|unit| (0.0..=1.0).contains(unit)));
        }
    }

    #[test]
    fn a_long_history_is_bounded() {
        let many: Vec<Seen> =
            (0..400).map(|index| Seen { at: vec![f64::from(index) / 400.0], value: f64::from((index * 7) % 400) }).collect();
        let kept = kept(&many);
        assert_eq!(kept.len(), MOST);
        assert!(kept.iter().any(|seen| seen.value == 0.0), "the best is among them");
        assert_eq!(kept.last().unwrap().at, many.last().unwrap().at);
    }
}
