//! Q02xx: the model file, the graph.

codes! {
    MALFORMED = "Q0201", "the model file is malformed",
        "The file is not an ONNX model, is cut short, or contradicts itself: a name that nothing defines, a cycle, \
         raw data of the wrong length, a size that cannot be. Check it with the tool that exported it.";
}
