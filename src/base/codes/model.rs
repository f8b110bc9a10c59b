//! Q02xx: the model file, the graph.

codes! {
    MALFORMED = "Q0201", "the model file is malformed",
        "The file is not an ONNX model, is cut short, or contradicts itself: a name that nothing defines, a cycle, \
         raw data of the wrong length, a size that cannot be. Check it with the tool that exported it.";
    UNSUPPORTED = "Q0202", "the model has operators that are not supported",
        "The message lists every node that stands in the way: its name, operator, operator set and what about it is \
         not supported (the operator itself, an attribute, an optional output, or a parameter that is computed where \
         a constant is needed). `quantize list operators` prints what is supported. Often the exporter can avoid \
         such nodes: export in inference mode, with constant folding, without post-processing; replace model-local \
         functions by their bodies (`onnx.inliner`).";
    OPSET = "Q0203", "the operator set is not supported",
        "Models of opset 9 and up of the standard operators are read. Convert an older one with \
         `onnx.version_converter.convert_version(model, 13)`, or export it again with a newer exporter.";
    OPEN_SHAPE = "Q0204", "the shape of a model input is not known",
        "Shapes are fixed when a model is imported. An input has an axis whose size is a name or is missing (other \
         than axis 0, the batch, which is always free), or the configuration's `model.inputs` names an input or a \
         size that the model contradicts. State the whole shape under `model.inputs`, for example \
         `model.inputs: {image: [1, 3, 224, 224]}`.";
    SHAPES_CLASH = "Q0205", "a node does not fit its inputs",
        "The shapes or types of a node's inputs do not go together, so the result has no shape. The message names \
         the node, the shapes and the reason. Usual causes: an input shape under `model.inputs` that the model was not \
         made for, or a damaged export.";
    EXTERNAL = "Q0206", "the external data of a tensor cannot be read",
        "Large models keep their weights in files beside the .onnx file. Such a file is missing, too short, or named by \
         a path that leads out of the model's folder, which is refused for safety. Copy the model with all its data \
         files into one folder, or store it as one file (`onnx.save` without `save_as_external_data`).";
    ELEMENT_TYPE = "Q0207", "an element type is not supported",
        "A tensor of the model holds elements of a type that is not computed with here: text, complex numbers, or \
         floats and integers of less than 8 bits.";
    QUANTIZATION = "Q0208", "QuantizeLinear or DequantizeLinear is of a form that is not supported",
        "Read are 8-bit scales of activations (one scale for the tensor) and 8-bit or 32-bit constants (one scale, or \
         one per channel). Blocks, scales per channel of an activation, and types of 4 or 16 bits are not.";
    BAKED_BATCH = "Q0209", "the batch size is baked into the model",
        "The model was exported for a fixed batch other than 1, and its nodes depend on that number (a Reshape to \
         [8, 512], for instance). Graphs are imported for one image, from which any batch is run. Export the model \
         with batch 1 or with a dynamic batch axis.";
    FOLD_LIMIT = "Q0210", "the constants of the model are too large to compute",
        "Nodes that only read constants are computed at import. The model asks for far more numbers there than its \
         own size explains, as a damaged or hostile file would. Fold its constants with the tool that exported it.";
    INPUTS = "Q0211", "the model's inputs are of a kind that cannot be fed",
        "A run feeds one f32 input with one image or array after the other. Models with several inputs, with none, or \
         with integer inputs are imported (`quantize inspect` shows them), but there is no data form for them yet. \
         Fold the further inputs into constants with the tool that exported the model.";
    REWRITE = "Q0290", "a rewrite rule made a mistake",
        "After a rule changed the graph it no longer fits together, or the rules never came to rest. That is a mistake \
         in quantize and not in the model. Please report it, with the model or the part of it that the message names; \
         `RUST_LOG=quantize::rewrite=debug` prints every step up to the mistake.";
}
