//! Q05xx: precision, tuning, plans, engine files, runs.

codes! {
    DAMAGED = "Q0501", "the engine file is damaged or foreign",
        "The magic, the version, a length or a checksum does not fit. An engine is never repaired: build it again \
         with `quantize build`. If it was copied, copy it again and compare the sizes.";
    NO_TACTIC = "Q0502", "no kernel computes a node",
        "The device has no kernel for the operator in the type, shape or layout that the plan wants, or each one it \
         has failed its check. A row of `precision.rules` that keeps the node in float usually helps.";
    BAD_PLAN = "Q0503", "a plan does not compute its graph",
        "The checker, which trusts nothing the planner said, found a step that reads what is not written, two live \
         buffers on the same bytes, or a scale that does not fit. This is a mistake in quantize: please report it.";
    SELF_CHECK = "Q0504", "the engine differs from the reference arithmetic",
        "At the end of a build the engine runs beside the oracle on the same input, and they differ by more than \
         float rounding allows. The engine is not written. Please report it with the model.";
    TIMING_CACHE = "Q0505", "a timing cache is damaged",
        "The file is no timing cache of this version. It only saves time: delete it and build again.";
    WRONG_DEVICE = "Q0506", "the engine was built for another device",
        "Engines are tuned and packed for one kind of device and instruction set. Build it again on this machine, with \
         `quantize build` or by `--rebuild CONFIG` of `quantize run` and `bench`; with the calibration cache that \
         takes seconds.";
    BAD_INPUT = "Q0507", "an input does not fit the engine",
        "Inputs are f32 tensors of the engine's shape, with any batch up to the one it was built for; or pictures, u8 \
         [n, H, W, C], where it was built with a `preprocess` section. `quantize inspect ENGINE` prints names, \
         shapes and the largest batch.";
    NOT_F32 = "Q0508", "an engine's inputs and outputs are f32",
        "The graph has an input or output of another type, such as the integers of an ArgMax. Engines take and give \
         f32: end the model before that node, or let it end in a Cast to float.";
    BAD_GRAPH = "Q0509", "the graph given to the builder is not a valid one",
        "The importer and the rewrites give graphs that fit together; one that was made or changed by a program may \
         not. The message lists what `Graph::verify` found: a missing input, a cycle, a type or shape that is not \
         the operator's.";
    ANSWERS = "Q0510", "a file of FP32 answers is damaged",
        "`fp32.answers` holds what the FP32 reference said of the evaluation samples, so that the next run asks the \
         engine alone. It is no such file of this version, or a checksum does not fit. It only saves time: delete it; \
         `evaluation.keep_answers: false` runs without it.";
    NO_FLOATS = "Q0511", "the device has not the floats asked for",
        "`precision.fallback: fp16` stores what is not INT8 in 16-bit floats, and `tf32` multiplies it with 11 bits; only \
         GPUs have kernels for these here. Set `fp32`, or build on a machine with a GPU.";
}
