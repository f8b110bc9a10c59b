//! Preprocessing that is possible, and yet hardly what was meant.

use super::Preprocess;

/// Beyond this, the numbers of an image are not what a network was trained on.
const WIDEST: f64 = 50.0;
/// Below this, an image is all but one grey.
const NARROWEST: f64 = 0.5;
/// A mean below this share of the pixels' range subtracts next to nothing.
const IDLE_MEAN: f64 = 0.01;

impl Preprocess {
    /// What looks like units mixed up, in a sentence: `mean` and `std` of pixels of 0 to 255 with a `scale` of 1/255,
    /// or the other way round. Raw pixels, and a mean alone, are usual and pass.
    ///
    /// ```
    /// use quantize::data::Preprocess;
    /// let mut p = Preprocess { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225], ..Preprocess::default() };
    /// assert_eq!(p.doubt(), None);
    /// p.scale = 1.0;
    /// assert!(p.doubt().unwrap().contains("`preprocess.mean`"));
    /// ```
    pub fn doubt(&self) -> Option<String> {
        let top = 255.0 * self.scale;
        let (low, high) = (top.min(0.0), top.max(0.0));
        if let Some(mean) = self.mean.iter().find(|m| !(low..=high).contains(*m)) {
            return Some(format!(
                "`preprocess.mean` holds {mean}, but pixels are {low} to {} after `scale`: are both in the same units?",
                shown(high)
            ));
        }
        let idle = |m: &f64| (m / top).abs() < IDLE_MEAN;
        if self.mean.iter().any(|m| *m != 0.0) && self.mean.iter().all(idle) {
            return Some(format!(
                "`preprocess.mean` of {} subtracts next to nothing from pixels of {low} to {} after `scale`: are both \
                 in the same units?",
                self.mean[0],
                shown(high)
            ));
        }
        let width = |std: &f64| (top / std).abs();
        let odd = self.std.iter().find(|s| **s != 1.0 && !(NARROWEST..=WIDEST).contains(&width(s)))?;
        Some(format!(
            "`preprocess.std` of {odd} makes the pixels' range {} wide (usual are 1 to 10): is it in the units of \
             `scale`?",
            shown(width(odd))
        ))
    }
}

/// At most four decimals.
fn shown(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scale: f64, mean: &[f64], std: &[f64]) -> Option<String> {
        Preprocess { scale, mean: mean.into(), std: std.into(), ..Preprocess::default() }.doubt()
    }

    #[test]
    fn usual_forms_pass() {
        for (scale, mean, std) in [
            (1.0 / 255.0, &[0.0][..], &[1.0][..]),
            (1.0, &[0.0], &[1.0]),
            (1.0, &[104.0, 117.0, 123.0], &[1.0]), // Caffe
            (1.0, &[123.675, 116.28, 103.53], &[58.395, 57.12, 57.375]),
            (1.0, &[87.72, 96.9, 104.04], &[51.765, 34.935, 29.325]),
            (1.0 / 255.0, &[0.344, 0.38, 0.408], &[0.203, 0.137, 0.115]),
            (1.0, &[127.0], &[128.0]),
            (1.0 / 127.5, &[1.0], &[1.0]),
            (1.0, &[0.0], &[255.0]),
            (1.0 / 255.0, &[0.1307], &[0.3081]), // MNIST
        ] {
            assert_eq!(of(scale, mean, std), None, "{scale} {mean:?} {std:?}");
        }
    }

    #[test]
    fn mixed_units_are_named() {
        for (scale, mean, std, key) in [
            (1.0 / 255.0, &[87.7, 96.9, 104.0][..], &[1.0][..], "mean"),
            (1.0, &[0.485, 0.456, 0.406], &[1.0], "mean"),
            (1.0 / 255.0, &[0.0], &[58.395, 57.12, 57.375], "std"),
            (1.0, &[0.0], &[0.229, 0.224, 0.225], "std"),
        ] {
            let said = of(scale, mean, std).unwrap();
            assert!(said.contains(&format!("`preprocess.{key}`")), "{said}");
        }
    }
}
