//! The two layouts of a sample, taken for one another.

use crate::base::Shape;

/// Most channels that an image has.
const CHANNELS: usize = 4;

/// The line of the configuration that would help, where a sample of shape `found` is in the other layout than the
/// model's input of shape `wanted` (both without the batch axis).
///
/// ```
/// use quantize::{base::Shape, data::layout_hint};
/// let hint = layout_hint(&Shape::new(&[3, 64, 48]), &Shape::new(&[64, 48, 3]));
/// assert_eq!(hint, Some("the model reads channels last: set `preprocess.layout: nhwc`"));
/// assert_eq!(layout_hint(&Shape::new(&[3, 64, 48]), &Shape::new(&[3, 32, 48])), None);
/// ```
pub fn layout_hint(found: &Shape, wanted: &Shape) -> Option<&'static str> {
    let ([a, _, c], [x, _, z]) = (&found[..], &wanted[..]) else { return None };
    let few = |n: &usize| *n <= CHANNELS;
    match () {
        () if few(a) && few(z) && !few(c) && !few(x) => {
            Some("the model reads channels last: set `preprocess.layout: nhwc`")
        }
        () if few(c) && few(x) && !few(a) && !few(z) => {
            Some("the model reads channels first: set `preprocess.layout: nchw`")
        }
        () => None,
    }
}
