//! Sliding windows of convolutions and poolings over height and width.

use super::super::attrs::{Attr, Attrs, Check, sizes};

/// Largest number in a window, so that sums and products of them do not overflow.
const LARGEST: usize = 1 << 20;

/// Zeros around the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pads {
    /// So many: top, left, bottom, right.
    Explicit([usize; 4]),
    /// So many that the output is `ceil(input / stride)`; an odd one goes below and to the right.
    SameUpper,
    /// Likewise; an odd one goes above and to the left.
    SameLower,
}

/// A window and how it moves. Pairs are (height, width).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Window {
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    pub pads: Pads,
    /// Round the output size up: the last window may hang over the padding.
    pub ceil: bool,
}

/// A window on an image of a known size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Geometry {
    /// Height and width of the input and the output.
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Zeros above and to the left.
    pub begin: [usize; 2],
    /// Zeros below and to the right.
    pub end: [usize; 2],
}

impl Window {
    /// A window without padding or dilation.
    pub fn new(kernel: [usize; 2], strides: [usize; 2]) -> Self {
        Window { kernel, strides, dilations: [1, 1], pads: Pads::Explicit([0; 4]), ceil: false }
    }

    /// Takes `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode`. A kernel of `[0, 0]` means
    /// that the attribute is absent.
    pub fn parse(attrs: &mut Attrs) -> Check<Self> {
        let kernel = pair(attrs, "kernel_shape", 0)?;
        let strides = pair(attrs, "strides", 1)?;
        let dilations = pair(attrs, "dilations", 1)?;
        let explicit = match attrs.ints("pads")? {
            None => [0; 4],
            Some(p) => <[usize; 4]>::try_from(sizes("pads", &p)?).map_err(|p| {
                format!("`pads` has {} numbers where 4 are expected (two spatial axes)", p.len())
            })?,
        };
        let pads = match attrs.text("auto_pad")?.as_deref() {
            None | Some("NOTSET") => Pads::Explicit(explicit),
            Some("VALID") => Pads::Explicit([0; 4]),
            Some("SAME_UPPER") => Pads::SameUpper,
            Some("SAME_LOWER") => Pads::SameLower,
            Some(other) => return Err(format!("auto_pad `{other}` is unknown")),
        };
        let ceil = attrs.flag("ceil_mode", false)?;
        if strides.contains(&0) || dilations.contains(&0) {
            return Err("a stride or dilation is 0".into());
        }
        let numbers = [kernel, strides, dilations, [explicit[0], explicit[1]], [explicit[2], explicit[3]]];
        if let Some(n) = numbers.as_flattened().iter().find(|&&n| n > LARGEST) {
            return Err(format!("a kernel, stride, dilation or pad of {n} is absurd"));
        }
        Ok(Window { kernel, strides, dilations, pads, ceil })
    }

    /// Adds its attributes to `attrs`.
    pub fn write(&self, attrs: Attrs) -> Attrs {
        let ints = |v: &[usize]| Attr::Ints(v.iter().map(|&i| i as i64).collect());
        let attrs = attrs
            .with_unless(self.kernel == [0, 0], "kernel_shape", ints(&self.kernel))
            .with_unless(self.strides == [1, 1], "strides", ints(&self.strides))
            .with_unless(self.dilations == [1, 1], "dilations", ints(&self.dilations))
            .with_unless(!self.ceil, "ceil_mode", Attr::Int(1));
        match self.pads {
            Pads::Explicit(p) => attrs.with_unless(p == [0; 4], "pads", ints(&p)),
            Pads::SameUpper => attrs.with("auto_pad", Attr::Str("SAME_UPPER".into())),
            Pads::SameLower => attrs.with("auto_pad", Attr::Str("SAME_LOWER".into())),
        }
    }

    /// The window on an image of this height and width, with the kernel `kernel` (which a convolution takes from its
    /// weights).
    pub fn on(&self, input: [usize; 2], kernel: [usize; 2]) -> Check<Geometry> {
        let mut g = Geometry {
            input,
            output: [0; 2],
            kernel,
            strides: self.strides,
            dilations: self.dilations,
            begin: [0; 2],
            end: [0; 2],
        };
        for i in 0..2 {
            let reach = kernel[i].checked_sub(1).ok_or("the kernel is empty")? * self.dilations[i] + 1;
            let (stride, size) = (self.strides[i], input[i]);
            match self.pads {
                Pads::Explicit(p) => {
                    (g.begin[i], g.end[i]) = (p[i], p[i + 2]);
                    let room = (size.saturating_add(p[i]).saturating_add(p[i + 2]))
                        .checked_sub(reach)
                        .ok_or_else(|| {
                            format!(
                                "a window of {reach} does not fit an axis of {size} with pads {} and {}",
                                p[i],
                                p[i + 2]
                            )
                        })?;
                    g.output[i] = room / stride + 1;
                    if self.ceil && room % stride != 0 && (g.output[i] * stride) < size + p[i] {
                        g.output[i] += 1; // a window that would start in the padding at the end does not count
                    }
                }
                Pads::SameUpper | Pads::SameLower => {
                    g.output[i] = size.div_ceil(stride);
                    let total = (g.output[i].saturating_sub(1) * stride + reach).saturating_sub(size);
                    let small = total / 2;
                    (g.begin[i], g.end[i]) = match self.pads {
                        Pads::SameUpper => (small, total - small),
                        _ => (total - small, small),
                    };
                }
            }
        }
        Ok(g)
    }
}

impl Geometry {
    /// The input row (axis 0) or column (axis 1) under kernel position `k` of output position `o`, unless it lies in
    /// the padding.
    #[inline]
    pub fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let i = (o * self.strides[axis] + k * self.dilations[axis]).checked_sub(self.begin[axis])?;
        (i < self.input[axis]).then_some(i)
    }

    /// The kernel positions of output position `o` that do not lie in the padding.
    pub fn taps(&self, axis: usize, o: usize) -> std::ops::Range<usize> {
        let (step, first) = (self.dilations[axis], o * self.strides[axis]);
        let before = |i: usize| i.saturating_sub(first).div_ceil(step).min(self.kernel[axis]);
        before(self.begin[axis])..before(self.begin[axis] + self.input[axis])
    }

    /// The output positions whose windows do not reach into the padding.
    pub fn whole(&self, axis: usize) -> std::ops::Range<usize> {
        let (stride, reach) = (self.strides[axis], (self.kernel[axis] - 1) * self.dilations[axis]);
        let before = |i: usize| i.div_ceil(stride).min(self.output[axis]);
        let end = before((self.begin[axis] + self.input[axis]).saturating_sub(reach));
        before(self.begin[axis]).min(end)..end
    }

    /// Is there any padding?
    pub fn padded(&self) -> bool {
        self.begin != [0, 0] || self.end != [0, 0]
    }

    /// Does it read every input element once, in order: 1x1, stride 1, no padding?
    pub fn pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.strides == [1, 1] && !self.padded()
    }
}

fn pair(attrs: &mut Attrs, name: &str, default: usize) -> Check<[usize; 2]> {
    match attrs.ints(name)? {
        None => Ok([default; 2]),
        Some(v) => <[usize; 2]>::try_from(sizes(name, &v)?)
            .map_err(|v| format!("`{name}` has {} numbers; only two spatial axes are supported", v.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_one_where_it_says() {
        let w = Window { pads: Pads::SameUpper, ..Window::new([3, 3], [2, 2]) };
        let g = w.on([224, 225], [3, 3]).unwrap();
        assert_eq!((g.output, g.begin, g.end), ([112, 113], [0, 1], [1, 1]));
        let g = Window { pads: Pads::SameLower, ..w }.on([224, 225], [3, 3]).unwrap();
        assert_eq!((g.begin, g.end), ([1, 1], [0, 1]));
    }

    #[test]
    fn ceil_mode_drops_windows_that_start_in_the_padding() {
        let w = Window { pads: Pads::Explicit([1; 4]), ceil: true, ..Window::new([2, 2], [2, 2]) };
        assert_eq!(w.on([5, 6], [2, 2]).unwrap().output, [3, 4]);
        let w = Window { ceil: true, ..Window::new([3, 3], [2, 2]) };
        assert_eq!(w.on([112, 112], [3, 3]).unwrap().output, [56, 56]);
    }

    #[test]
    fn taps_and_whole_windows_are_those_with_a_source() {
        for (size, kernel, stride, dilation, pads) in [
            (7, 3, 1, 1, [1, 1]),
            (8, 5, 2, 1, [1, 2]),
            (9, 3, 3, 2, [2, 4]),
            (2, 5, 1, 1, [4, 4]),
            (3, 2, 4, 3, [3, 3]),
            (6, 1, 1, 1, [0, 0]),
        ] {
            let pads = Pads::Explicit([0, pads[0], 0, pads[1]]);
            let w = Window { pads, dilations: [1, dilation], ..Window::new([1, kernel], [1, stride]) };
            let g = w.on([1, size], [1, kernel]).unwrap();
            for o in 0..g.output[1] {
                let inside: Vec<_> = (0..kernel).filter(|&k| g.source(1, o, k).is_some()).collect();
                assert_eq!(g.taps(1, o).collect::<Vec<_>>(), inside, "{g:?}, output {o}");
                assert_eq!(g.whole(1).contains(&o), inside.len() == kernel, "{g:?}, output {o}");
            }
        }
    }

    #[test]
    fn a_window_larger_than_the_image_is_refused() {
        assert!(Window::new([5, 5], [1, 1]).on([4, 9], [5, 5]).is_err());
    }
}
