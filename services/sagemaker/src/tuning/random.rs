//! Numbers that a seed determines, so that a tuning job with the same RandomSeed draws the same.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, 2014): for searching, not for secrets.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of one training job of a tuning job.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut first = Self(seed);
        Self(first.next() ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A point of the unit cube.
    pub fn point(&mut self, dimensions: usize) -> Vec<f64> {
        (0..dimensions).map(|_| self.unit()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_even_and_their_own() {
        let mut one = Random::of(7, 1);
        let drawn: Vec<f64> = (0..4000).map(|_| one.unit()).collect();
        assert!(drawn.iter().all(|unit| (0.0..1.0).contains(unit)));
        for tenth in 0..10 {
            let inside = drawn.iter().filter(|unit| (**unit * 10.0) as usize == tenth).count();
            assert!((300..500).contains(&inside), "{tenth}: {inside}");
        }
        assert_eq!(Random::of(7, 1).point(3), drawn[..3]);
        assert_ne!(Random::of(7, 2).point(3), drawn[..3]);
        assert_ne!(Random::of(8, 1).point(3), drawn[..3]);
    }
}
