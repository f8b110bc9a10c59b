//! Q03xx: datasets, images, preprocessing.

codes! {
    UNDECODABLE = "Q0301", "an image cannot be decoded",
        "The file is no image that quantize reads (JPEG, PNG, BMP, WebP) or is damaged. Remove it from the list, or \
         set `on_error: skip` for the dataset: skipped files are named in notes and counted in the report.";
    LIST = "Q0302", "a list of images is malformed",
        "A list file has one image a line: `path` or `path<TAB>label`, the path relative to the list file, the label \
         a number from 0. Either every line has a label or none has. Empty lines and lines that begin with `#` are \
         passed over. The message shows the line.";
    LABEL = "Q0303", "a label is out of range or names no class",
        "A label is the number of a model output, from 0; with a labels file it must be below the number of its \
         lines, and the class folders must carry its names. Where the model counts from another number than the \
         list, `evaluation.label_offset` is added to each label.";
    EMPTY = "Q0304", "a dataset has no samples",
        "A folder holds neither images nor class folders with images, a list has no lines, or an array has no rows. \
         Files count as images by their extension: jpg, jpeg, png, bmp, webp.";
    UNFIT = "Q0305", "an image does not fit the preprocessing",
        "A centre crop must not be larger than the image it cuts from, and no step may make an image of absurd \
         size. Put a step `resize_short` before the crop: it scales the short side to a given length first.";
    ARRAY = "Q0306", "an array file cannot be used",
        "`.npy` and `.npz` files hold samples along the first axis, row-major (C order), as float32, which the model \
         gets as they are, or as uint8 images (N,H,W,C or N,C,H,W), which are preprocessed. An `.npz` holds one such \
         array and, if there are labels, a one-dimensional integer array `labels` of the same length.";
    SAMPLE_SHAPE = "Q0307", "a sample has another shape than the model's input",
        "The preprocessing must give every image the shape that the model's input has. Add a step `resize`, or \
         `resize_short` and `crop`, to `preprocess.steps`, and check `preprocess.layout` and \
         `preprocess.channels`.";
    PREPROCESS = "Q0308", "the preprocessing contradicts itself",
        "`mean` and `std` have one number, or one for each channel in the order of `channels`; `std` is not zero; \
         every number is finite; sizes are from 1 to 16384.";
}
