//! Q01xx: the configuration.

codes! {
    UNKNOWN_KEY = "Q0101", "a key of the configuration is unknown",
        "Keys are checked strictly, so that a misspelt one cannot be ignored in silence. The message shows the line \
         and the nearest key that exists; `quantize schema` prints all of them.";
}
