//! Q03xx: datasets, images, preprocessing.

codes! {
    UNDECODABLE = "Q0301", "an image cannot be decoded",
        "The file is no image that quantize reads (JPEG, PNG, BMP, WebP) or is damaged. Remove it from the list, or \
         set `on_error: skip` for the dataset: skipped files are counted and named in the report.";
}
