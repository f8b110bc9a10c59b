//! Labels among the k largest outputs, of both sides.

use super::{Accumulator, Metric, Score, percent, score};

/// Counts labels among the `k` largest.
pub(super) struct TopK {
    pub metric: &'static dyn Metric,
    pub k: usize,
    pub n: u64,
    pub reference: u64,
    pub candidate: u64,
}

impl TopK {
    pub fn boxed(metric: &'static dyn Metric, k: usize) -> Box<dyn Accumulator> {
        Box::new(TopK { metric, k, n: 0, reference: 0, candidate: 0 })
    }
}

impl Accumulator for TopK {
    fn update(&mut self, reference: &[f32], candidate: &[f32], label: Option<usize>) {
        if let Some(label) = label {
            self.n += 1;
            self.reference += u64::from(among_largest(reference, label, self.k));
            self.candidate += u64::from(among_largest(candidate, label, self.k));
        }
    }

    fn finish(&self) -> Score {
        score(self.metric, self.n, percent(self.reference, self.n), percent(self.candidate, self.n))
    }
}

/// Is `values[label]` among the `k` largest, earlier indices first on ties? A label beyond the outputs and NaN are
/// not.
fn among_largest(values: &[f32], label: usize, k: usize) -> bool {
    let Some(&mine) = values.get(label).filter(|v| !v.is_nan()) else { return false };
    let before = values.iter().enumerate().filter(|&(i, &v)| v > mine || (v == mine && i < label)).count();
    before < k
}

#[cfg(test)]
mod tests {
    use super::among_largest;

    #[test]
    fn ties_go_to_the_first_index() {
        let v = [2.0, 5.0, 5.0, 1.0];
        assert!(among_largest(&v, 1, 1) && !among_largest(&v, 2, 1) && among_largest(&v, 2, 2));
        assert!(!among_largest(&v, 9, 4) && !among_largest(&[f32::NAN], 0, 1));
    }
}
