//! Q04xx: statistics, methods, caches.

codes! {
    NOT_FINITE = "Q0401", "an activation is NaN or infinite",
        "A tensor of the FP32 model holds a value that is not a number or not finite, so no scale can represent it. \
         The message names the tensor, the sample and the first node that made such a value. Usual causes: wrong \
         preprocessing (mean and std swapped, 0..255 against 0..1), or a model damaged on export.";
}
