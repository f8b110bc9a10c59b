//! Q04xx: statistics, methods, caches.

codes! {
    NOT_FINITE = "Q0401", "an activation is NaN or infinite",
        "A tensor of the FP32 model holds a value that is not a number or not finite, so no scale can represent it. \
         The message names the tensor, the sample and the first node that made such a value. Usual causes: wrong \
         preprocessing (mean and std swapped, 0..255 against 0..1), or a model damaged on export.";
    UNKNOWN_METHOD = "Q0402", "unknown calibration method",
        "`calibration.method` names no method. `quantize list` prints those there are; `auto` chooses one \
         per tensor by the error it causes at the outputs of the nodes that read the tensor.";
    NOT_A_CACHE = "Q0403", "not a calibration cache, or one of another version",
        "The file does not begin with the line of a calibration cache that this version reads. It may be another \
         kind of file (TensorRT's own caches have their own form), or written by a newer or older version. \
         Delete it to calibrate again.";
    DAMAGED_CACHE = "Q0404", "the calibration cache is damaged",
        "The checksum at the end of the cache does not fit its content, or a line breaks the format: the file was \
         cut short, edited or corrupted. The message names the first line that is wrong. Statistics cannot be \
         repaired; delete the file to calibrate again.";
    STALE_CACHE = "Q0405", "the calibration cache belongs to another run",
        "The cache was made from another model, other images, other preprocessing or other settings; the message \
         says which part differs. Its thresholds need not fit this run. Delete it to calibrate again, or accept it \
         with `--trust-cache` where you know that the difference does not matter.";
    TRT_CACHE = "Q0406", "not a TensorRT calibration cache",
        "The file is not TensorRT's text form: a first line such as `TRT-100300-EntropyCalibration2`, then one \
         line `tensor name: scale` per tensor, where the scale is the 8 hex digits of an f32. The message names \
         the line.";
    UNLIKE_STATISTICS = "Q0407", "statistics that cannot be added",
        "Statistics of two runs add up only where both watched the same tensors, with the same number of channels, \
         of the same model with the same preprocessing. The message names what differs.";
    NO_SAMPLES = "Q0408", "there is nothing to calibrate on",
        "The method needs statistics (or, for `auto`, the held-out samples themselves), and neither the \
         configuration's `calibration.data` nor a complete cache provides them.";
}
