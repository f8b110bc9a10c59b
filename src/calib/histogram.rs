//! A histogram over `[0, 2^exp)` whose bins nest, so that growing and merging lose nothing.

/// Number of bins of every [`Histogram`].
pub const BINS: usize = 4096;

/// `log2(BINS)`.
const BITS: i32 = 12;

/// The exponent of the smallest positive f32, and of an empty histogram.
const LOWEST_EXP: i32 = -148;

/// Integer counts of positive finite numbers in 4096 equal bins over `[0, 2^exp)`.
///
/// `exp` is that of the largest number counted (`2^(exp-1) <= max < 2^exp`), so the bin width `2^(exp-12)` is a
/// power of two and `bin = floor(x / width)` is exact. A larger number doubles the range by adding neighbouring
/// bins. As `floor(floor(x/w)/2) = floor(x/2w)`, the state depends only on which numbers were counted: not on their
/// order, nor on how they were split over batches, threads or machines.
///
/// Memory is fixed: 32 KiB from the first number on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    exp: i32,
    bins: Option<Box<[u64; BINS]>>,
}

static NO_BINS: [u64; BINS] = [0; BINS];

impl Default for Histogram {
    fn default() -> Self {
        Histogram { exp: LOWEST_EXP, bins: None }
    }
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Histogram::default()
    }

    /// Counts that were made elsewhere, over the range of the largest number among them.
    pub fn of(exp: i32, bins: Box<[u64; BINS]>) -> Self {
        Histogram { exp, bins: Some(bins) }
    }

    /// The exponent of the range `[0, 2^exp)`; -148, the least there is, while empty.
    pub fn exp(&self) -> i32 {
        self.exp
    }

    /// The width of a bin, `2^(exp-12)`, exact.
    pub fn width(&self) -> f64 {
        power_of_two(self.exp - BITS)
    }

    /// The counts.
    pub fn bins(&self) -> &[u64; BINS] {
        self.bins.as_deref().unwrap_or(&NO_BINS)
    }

    /// Is nothing counted yet?
    pub fn is_empty(&self) -> bool {
        self.bins.is_none()
    }

    /// How many numbers are counted.
    pub fn total(&self) -> u64 {
        self.bins().iter().sum()
    }

    /// The last bin that counts something. It lies in the upper half of the range.
    pub fn last(&self) -> Option<usize> {
        self.bins().iter().rposition(|&n| n > 0)
    }

    /// Counts `x` `n` times. Zero, negative and non-finite numbers are not counted here.
    pub fn add(&mut self, x: f32, n: u64) {
        if x > 0.0 && x.is_finite() && n > 0 {
            let exp = exponent(x).max(self.exp);
            self.cells(exp)[bin_of(x, exp)] += n;
        }
    }

    /// Adds the counts of `other`. The result is that of counting both in one pass.
    pub fn merge(&mut self, other: &Histogram) {
        let Some(theirs) = &other.bins else { return };
        let exp = self.exp.max(other.exp);
        let shift = shift_of(exp - other.exp);
        let ours = self.cells(exp);
        theirs.iter().enumerate().for_each(|(i, n)| ours[i >> shift] += n);
    }

    /// How many of the numbers are `limit` or more, to within the numbers of the bin that holds `limit`; exact
    /// where `limit` is a border of bins.
    pub fn count_from(&self, limit: f64) -> u64 {
        let first = (limit / self.width()).ceil();
        // `as` saturates: a limit beyond the range counts nothing
        self.bins().iter().skip(first.max(0.0) as usize).sum()
    }

    /// The counts, over a range of at least `2^exp`, allocated and folded as needed.
    pub(super) fn cells(&mut self, exp: i32) -> &mut [u64; BINS] {
        if exp > self.exp {
            if let Some(bins) = &mut self.bins {
                fold(bins, shift_of(exp - self.exp));
            }
            self.exp = exp;
        }
        self.bins.get_or_insert_with(|| Box::new([0; BINS]))
    }
}

/// Adds groups of `2^shift` neighbours into one bin each.
fn fold(bins: &mut [u64; BINS], shift: u32) {
    for i in 1..BINS {
        // the target never lies behind the source, so one pass upwards suffices
        let n = std::mem::take(&mut bins[i]);
        bins[i >> shift] += n;
    }
}

/// Beyond 12 doublings everything lands in bin 0.
fn shift_of(doublings: i32) -> u32 {
    doublings.clamp(0, BITS) as u32
}

/// The exponent `e` of a positive finite number: `2^(e-1) <= x < 2^e`, as C's `frexp` has it.
pub fn exponent(x: f32) -> i32 {
    let bits = x.to_bits();
    match (bits >> 23) as i32 {
        0 => -149 + (32 - bits.leading_zeros() as i32),
        e => e - 126,
    }
}

/// The bin of a positive number below `2^exp`: `floor(x / 2^(exp-12))`, exact for denormal numbers too.
pub fn bin_of(x: f32, exp: i32) -> usize {
    (f64::from(x) * power_of_two(BITS - exp)) as usize
}

/// `2^e` in f64, for the exponents that occur here (`|e| < 1000`).
pub(super) fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// The f32 factor that turns a number below `2^exp` into its bin, where that factor is a normal f32. The product is
/// exact, or so small that its integer part is 0.
pub(super) fn bin_factor(exp: i32) -> Option<f32> {
    (exp >= BITS - 127).then(|| power_of_two(BITS - exp) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_those_of_frexp() {
        let cases = [(1.0, 1), (0.5, 0), (0.999, 0), (3.0, 2), (4.0, 3), (f32::MAX, 128)];
        for (x, e) in cases.into_iter().chain([(f32::MIN_POSITIVE, -125), (f32::from_bits(1), -148)]) {
            assert_eq!(exponent(x), e, "{x:e}");
        }
    }

    #[test]
    fn growing_adds_neighbours() {
        let mut h = Histogram::new();
        h.add(0.75, 2);
        assert_eq!((h.exp(), h.bins()[3072]), (0, 2));
        h.add(6.0, 1);
        assert_eq!((h.exp(), h.bins()[384], h.bins()[3072], h.total()), (3, 2, 1, 3));
        h.add(1e30, 1);
        assert_eq!((h.bins()[0], h.total()), (3, 4));
    }

    #[test]
    fn count_from_a_border_is_exact() {
        let mut h = Histogram::new();
        [1.0, 1.5, 2.0, 3.0].into_iter().for_each(|x| h.add(x, 1));
        assert_eq!([0.0, 1.5, 2.0, 3.5, 1e9].map(|t| h.count_from(t)), [4, 3, 2, 0, 0]);
    }
}
