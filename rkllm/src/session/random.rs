//! SplitMix64: the random numbers of sampling.

/// The generator SplitMix64 (Steele, Lea, Flood 2014). Its whole state is one number and its stream is
/// integer arithmetic alone, so a seed gives the same stream everywhere, in every version.
#[derive(Debug, Clone)]
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), in steps of 2^-53.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// A seed nobody chose.
pub(super) fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's one source of randomness: keys from the operating system.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the published C program for the seed 1234567.
    #[test]
    fn is_splitmix64() {
        let mut random = SplitMix64::new(1_234_567);
        let stream: Vec<u64> = (0..5).map(|_| random.next()).collect();
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(stream, expected);
    }

    #[test]
    fn the_unit_interval_is_half_open_and_seeds_differ() {
        let mut random = SplitMix64::new(3);
        assert!((0..10_000).map(|_| random.unit()).all(|u| (0.0..1.0).contains(&u)));
        assert_ne!(fresh_seed(), fresh_seed());
    }
}
