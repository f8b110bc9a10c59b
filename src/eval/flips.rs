//! The samples whose class changed, most telling first.

use super::Paired;
use super::metrics::{arg_max, margin};
use crate::report::model::{FlipKind, Flips};

/// A sample whose class changed, by numbers: the caller adds names and pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flipped {
    /// The sample's index, as the caller counts.
    pub sample: usize,
    /// Who was right.
    pub kind: FlipKind,
    /// The label.
    pub label: Option<usize>,
    /// The reference's class.
    pub reference: usize,
    /// The candidate's class.
    pub candidate: usize,
    /// The reference's largest output minus its second.
    pub margin: f64,
}

/// Counts flips, and keeps those with the largest margins.
///
/// ```
/// use quantize::eval::FlipRecorder;
/// let mut r = FlipRecorder::new(10);
/// r.update(0, &[1.0, 3.0], &[2.0, 1.0], Some(1)); // right to wrong, by a margin of 2
/// r.update(1, &[1.0, 1.5], &[2.0, 1.0], Some(0)); // wrong to right
/// assert_eq!((r.paired().lost, r.paired().gained, r.worst()[0].margin), (1, 1, 2.0));
/// ```
#[derive(Clone, Debug)]
pub struct FlipRecorder {
    keep: usize,
    paired: Paired,
    counts: Flips,
    worst: Vec<Flipped>,
}

impl FlipRecorder {
    /// Keeps at most `keep` flips; counts all.
    pub fn new(keep: usize) -> Self {
        FlipRecorder { keep, paired: Paired::default(), counts: Flips::default(), worst: Vec::new() }
    }

    /// Adds a sample's class outputs.
    pub fn update(&mut self, sample: usize, reference: &[f32], candidate: &[f32], label: Option<usize>) {
        let (r, c) = (arg_max(reference), arg_max(candidate));
        if let Some(label) = label {
            self.paired.update(r == label, c == label);
        }
        if r == c {
            return;
        }
        let (kind, count) = match label {
            None => (FlipKind::Unlabelled, &mut self.counts.unlabelled),
            Some(l) if l == r => (FlipKind::CorrectToWrong, &mut self.counts.correct_to_wrong),
            Some(l) if l == c => (FlipKind::WrongToCorrect, &mut self.counts.wrong_to_correct),
            Some(_) => (FlipKind::WrongToOther, &mut self.counts.wrong_to_other),
        };
        *count += 1;
        self.keep(Flipped { sample, kind, label, reference: r, candidate: c, margin: margin(reference) });
    }

    /// Inserts in order: largest margin first, then smallest index, so that the order of the samples is no matter.
    fn keep(&mut self, flip: Flipped) {
        let at = self.worst.partition_point(|f| {
            (f.margin, flip.sample).partial_cmp(&(flip.margin, f.sample)).is_some_and(|o| o.is_gt())
        });
        self.worst.insert(at, flip);
        self.worst.truncate(self.keep);
    }

    /// The labelled samples, for [`super::significance`].
    pub fn paired(&self) -> Paired {
        self.paired
    }

    /// The counts, with an empty list.
    pub fn counts(&self) -> Flips {
        self.counts.clone()
    }

    /// The kept flips, largest margin first.
    pub fn worst(&self) -> &[Flipped] {
        &self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_largest_margins_kept_in_any_order() {
        let samples: Vec<(usize, [f32; 3], Option<usize>)> = vec![
            (0, [0.0, 1.0, 0.0], Some(1)),
            (1, [0.0, 5.0, 0.0], Some(2)),
            (2, [0.0, 3.0, 0.0], Some(0)),
            (3, [0.0, 3.0, 0.0], None),
            (4, [9.0, 3.0, 0.0], Some(0)), // no flip
        ];
        let run = |order: &mut dyn Iterator<Item = &(usize, [f32; 3], Option<usize>)>| {
            let mut r = FlipRecorder::new(3);
            order.for_each(|(i, x, label)| r.update(*i, x, &[1.0, 0.5, 0.0], *label));
            r
        };
        let r = run(&mut samples.iter());
        assert_eq!(r.worst().iter().map(|f| f.sample).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(run(&mut samples.iter().rev()).worst(), r.worst());
        let c = r.counts();
        assert_eq!((c.correct_to_wrong, c.wrong_to_correct, c.wrong_to_other, c.unlabelled), (1, 1, 1, 1));
        assert_eq!(r.paired(), Paired { n: 4, lost: 1, gained: 1 });
    }
}
