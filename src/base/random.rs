//! Random numbers that are the same in every version and on every machine, for orders and for numbers to test with.

/// The SplitMix64 generator (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The generator with this seed.
    pub fn new(seed: u64) -> Self {
        SplitMix64(seed)
    }

    /// The next number of 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`: the upper half of the 128-bit product of `n` and the next number. 0 for an `n` of 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// A multiple of 2^-23 in [-1, 1).
    pub fn signed_unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published first numbers of the reference implementation for seed 1234567.
    #[test]
    fn numbers_are_those_of_the_reference() {
        let mut r = SplitMix64::new(1_234_567);
        let got = [r.next_u64(), r.next_u64(), r.next_u64()];
        assert_eq!(got, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn bounds_hold() {
        let mut r = SplitMix64::new(1);
        assert!((0..1000).all(|n| r.below(n + 1) <= n));
        let units: Vec<f32> = (0..1000).map(|_| r.signed_unit()).collect();
        assert!(units.iter().all(|u| (-1.0..1.0).contains(u)));
        assert!(units.iter().any(|u| *u < -0.9) && units.iter().any(|u| *u > 0.9));
    }
}
