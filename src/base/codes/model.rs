//! Q02xx: the model file, the graph.

codes! {
    MALFORMED = "Q0201", "the model file is malformed",
        "The file is not an ONNX model, is cut short, or contradicts itself: a name that nothing defines, a cycle, \
         raw data of the wrong length, a size that cannot be. Check it with the tool that exported it.";
    REWRITE = "Q0290", "a rewrite rule made a mistake",
        "After a rule changed the graph it no longer fits together, or the rules never came to rest. That is a mistake \
         in quantize and not in the model. Please report it, with the model or the part of it that the message names; \
         `RUST_LOG=quantize::rewrite=debug` prints every step up to the mistake.";
}
