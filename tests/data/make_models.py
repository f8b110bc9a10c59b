"""Writes models/: tiny ONNX models in the styles of the exporters that people use, each with an input (NAME.x.npy) and
the output that ONNX Runtime computes for it (NAME.y.npy).

    pip install onnx onnxruntime numpy
    python tests/data/make_models.py

The graphs are written by hand after what the exporters emit (operator sets, naming, where constants stand, how shapes
are computed); random weights. A model with a dynamic or larger batch has several rows, which must each come out the
same when the model is run for one image.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OUT = pathlib.Path(__file__).parent / "models"
rng = np.random.default_rng(11)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def f(*shape, scale=0.5):
    return (rng.normal(size=shape) * scale).astype(np.float32)


def i64(*values):
    return np.array(values, np.int64)


def node(op, inputs, outputs, **attrs):
    return helper.make_node(op, inputs.split(), outputs.split(), name=attrs.pop("name", ""), **attrs)


def hole(op, inputs, outputs, **attrs):
    """A node whose inputs may be empty."""
    return helper.make_node(op, inputs, outputs, **attrs)


def const(name, array):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name + "_value"))


def model(nodes, inits, x, y, opset, producer="", as_inputs=False, extra_opsets=(), ir=8, typed=False):
    def init(k, v):
        if typed:
            return helper.make_tensor(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape, v.ravel().tolist())
        return numpy_helper.from_array(v, k)

    inits = [init(k, v) for k, v in inits.items()]
    inputs = [helper.make_tensor_value_info(x[0], x[2] if len(x) > 2 else FLOAT, x[1])]
    if as_inputs:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in inits]
    graph = helper.make_graph(nodes, "main_graph", inputs, [helper.make_tensor_value_info(y[0], FLOAT, y[1])], inits)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*o) for o in extra_opsets)]
    m = helper.make_model(graph, opset_imports=opsets, producer_name=producer)
    m.ir_version = ir
    return m


def run(m, x, path=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(path) if path else m.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def write(name, m, x, expected=None, external=False):
    """`expected`: the model that computes what is expected, where it is not the model itself."""
    path = OUT / f"{name}.onnx"
    kwargs = dict(save_as_external_data=True, location=f"{name}.data", size_threshold=64) if external else {}
    if external:
        (OUT / f"{name}.data").unlink(missing_ok=True)
    onnx.save(m, path, **kwargs)
    y = run(expected, x) if expected else run(None, x, path)
    np.save(OUT / f"{name}.x.npy", x)
    np.save(OUT / f"{name}.y.npy", y)
    print(f"{name:24} {x.shape} -> {y.shape} {path.stat().st_size} bytes")


def torch_script():
    """torch.onnx.export through TorchScript: flattening by Shape, Gather, Unsqueeze, Concat, Reshape."""
    nodes = [
        node("Conv", "input onnx::Conv_20 onnx::Conv_21", "/conv/Conv_output_0", name="/conv/Conv",
             dilations=[1, 1], group=1, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "/conv/Conv_output_0", "/relu/Relu_output_0", name="/relu/Relu"),
        node("MaxPool", "/relu/Relu_output_0", "/pool", name="/pool/MaxPool", ceil_mode=0, dilations=[1, 1],
             kernel_shape=[2, 2], pads=[0, 0, 0, 0], strides=[2, 2]),
        node("Shape", "/pool", "/shape"),
        const("/zero", np.array(0, np.int64)),
        node("Gather", "/shape /zero", "/batch", axis=0),
        const("/axes", i64(0)),
        node("Unsqueeze", "/batch /axes", "/batch_1"),
        const("/minus", i64(-1)),
        node("Concat", "/batch_1 /minus", "/target", axis=0),
        node("Reshape", "/pool /target", "/flat", allowzero=0),
        node("Gemm", "/flat fc.weight fc.bias", "output", alpha=1.0, beta=1.0, transB=1),
    ]
    inits = {"onnx::Conv_20": f(4, 3, 3, 3), "onnx::Conv_21": f(4), "fc.weight": f(5, 16), "fc.bias": f(5)}
    m = model(nodes, inits, ("input", ["batch", 3, 8, 8]), ("output", ["batch", 5]), 14, "pytorch")
    write("torch_script", m, f(2, 3, 8, 8))


def torch_dynamo():
    """torch.onnx.export(dynamo=True): opset 18, weights in an external file, decomposed functions."""
    nodes = [
        node("Conv", "x conv.weight conv.bias", "conv2d", name="node_conv2d", group=4, pads=[1, 1, 1, 1],
             strides=[1, 1], dilations=[1, 1], auto_pad="NOTSET"),
        node("Sigmoid", "conv2d", "sigmoid", name="node_sigmoid"),
        node("Mul", "conv2d sigmoid", "silu", name="node_silu"),
        node("ReduceMean", "silu val_1", "mean", name="node_mean", keepdims=0, noop_with_empty_axes=0),
        node("LayerNormalization", "mean norm.weight norm.bias", "layer_norm", name="node_layer_norm", axis=-1,
             epsilon=1e-5, stash_type=1),
        node("Split", "layer_norm", "half_0 half_1", name="node_chunk", axis=1, num_outputs=2),
        node("Mul", "half_0 half_1", "glu", name="node_glu"),
        node("MatMul", "glu val_2", "linear", name="node_linear"),
        node("Dropout", "linear", "dropout", name="node_dropout"),
        node("Identity", "dropout", "y", name="node_identity"),
    ]
    inits = {"conv.weight": f(8, 1, 3, 3), "conv.bias": f(8), "val_1": i64(-1, -2), "norm.weight": f(8),
             "norm.bias": f(8), "val_2": f(4, 6)}
    m = model(nodes, inits, ("x", ["s77", 4, 6, 6]), ("y", ["s77", 6]), 18, "pytorch", ir=10)
    write("torch_dynamo_external", m, f(2, 4, 6, 6), external=True)


def pad_chain():
    """F.pad through TorchScript: pads from the last axis forward, turned round by shape arithmetic."""
    nodes = [
        const("two", i64(1, 0, 2, 1)),
        const("missing", i64(4)),
        node("ConstantOfShape", "missing", "zeros", value=numpy_helper.from_array(i64(0))),
        node("Concat", "two zeros", "padded", axis=0),
        const("pairs", i64(-1, 2)),
        node("Reshape", "padded pairs", "rows"),
        const("start", i64(-1)), const("end", i64(-9223372036854775807)), const("axis", i64(0)), const("step", i64(-1)),
        node("Slice", "rows start end axis step", "turned"),
        node("Transpose", "turned", "columns", perm=[1, 0]),
        const("flat", i64(-1)),
        node("Reshape", "columns flat", "list"),
        node("Cast", "list", "pads", to=INT64),
        const("value", np.array(0.25, np.float32)),
        node("Pad", "x pads value", "wide", mode="constant"),
        node("Conv", "wide w", "y", kernel_shape=[3, 3]),
    ]
    m = model(nodes, {"w": f(2, 3, 3, 3)}, ("x", ["n", 3, 5, 6]), ("y", ["n", 2, 6, 5]), 13, "pytorch")
    write("pad_chain", m, f(2, 3, 5, 6))


def keras():
    """tf2onnx: NHWC outside, Transposes, weights named by layers, MatMul and Add for a dense layer."""
    nodes = [
        node("Transpose", "input_1", "t_in", perm=[0, 3, 1, 2], name="StatefulPartitionedCall/conv__6"),
        node("Conv", "t_in conv/kernel", "conv", strides=[2, 2], auto_pad="SAME_UPPER", kernel_shape=[3, 3],
             name="StatefulPartitionedCall/conv"),
        node("BatchNormalization", "conv bn/gamma bn/beta bn/mean bn/var", "bn", epsilon=1e-3,
             name="StatefulPartitionedCall/bn"),
        node("Clip", "bn zero six", "relu6"),
        node("Pad", "relu6 pads", "pad"),
        node("AveragePool", "pad", "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", "pool", "t_out", perm=[0, 2, 3, 1]),
        node("ReduceMean", "t_out", "mean", axes=[1, 2], keepdims=0),
        node("MatMul", "mean dense/kernel", "dense"),
        node("Add", "dense dense/bias", "biased"),
        node("Softmax", "biased", "predictions", axis=-1),
    ]
    inits = {"conv/kernel": f(4, 3, 3, 3), "bn/gamma": f(4) + 1, "bn/beta": f(4), "bn/mean": f(4),
             "bn/var": np.abs(f(4)) + 0.5, "zero": np.array(0, np.float32), "six": np.array(6, np.float32),
             "pads": i64(0, 0, 0, 0, 0, 0, 1, 1), "dense/kernel": f(4, 5), "dense/bias": f(5)}
    m = model(nodes, inits, ("input_1", ["unk__6", 7, 7, 3]), ("predictions", ["unk__6", 5]), 13, "tf2onnx")
    write("keras_nhwc", m, f(3, 7, 7, 3))


def tflite():
    """tf2onnx from TFLite: fixed batch 1, depthwise convolutions, Reshape to fixed sizes."""
    nodes = [
        node("Transpose", "input", "nchw", perm=[0, 3, 1, 2]),
        node("Conv", "nchw w0 b0", "c0", strides=[2, 2], auto_pad="SAME_UPPER", dilations=[1, 1], group=1),
        node("Clip", "c0 lo hi", "r0"),
        node("Conv", "r0 w1 b1", "c1", strides=[1, 1], pads=[0, 1, 1, 0], group=4),
        node("PRelu", "c1 slope", "r1"),
        node("Add", "r1 r0", "sum"),
        node("AveragePool", "sum", "pool", kernel_shape=[3, 3], strides=[3, 3], auto_pad="VALID"),
        node("Transpose", "pool", "nhwc", perm=[0, 2, 3, 1]),
        node("Reshape", "nhwc shape", "flat"),
        node("Softmax", "flat", "y", axis=1),
    ]
    inits = {"w0": f(4, 3, 3, 3), "b0": f(4), "lo": np.array(0, np.float32), "hi": np.array(6, np.float32),
             "w1": f(4, 1, 2, 2), "b1": f(4), "slope": f(4, 1, 1), "shape": i64(1, 4)}
    m = model(nodes, inits, ("input", [1, 6, 6, 3]), ("y", [1, 4]), 13, "tf2onnx")
    write("tflite", m, f(1, 6, 6, 3))


def opset9():
    """Before opset 11: bounds, pads, slices and axes are attributes; typed data; initializers are inputs too."""
    nodes = [
        node("Pad", "data", "pad", pads=[0, 0, 0, 1, 0, 0, 1, 0], mode="constant", value=0.5),
        node("Conv", "pad w b", "conv", kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
        node("Clip", "conv", "clip", min=0.0, max=6.0),
        node("Upsample", "clip scales", "up", mode="nearest"),
        node("Slice", "up", "slice", axes=[2, 3], starts=[1, 0], ends=[9223372036854775807, -1]),
        node("Dropout", "slice", "dropped mask", ratio=0.5),
        node("GlobalAveragePool", "dropped", "pool"),
        node("Squeeze", "pool", "vector", axes=[2, 3]),
        node("Unsqueeze", "vector", "column", axes=[2]),
        node("Flatten", "column", "flat"),
        node("Gemm", "flat fc fcb", "scores", transB=1, alpha=0.5, beta=2.0),
        node("Softmax", "scores", "y"),
    ]
    inits = {"w": f(3, 2, 2, 2), "b": f(3), "scales": np.array([1, 1, 2, 2], np.float32), "fc": f(4, 3), "fcb": f(4)}
    m = model(nodes, inits, ("data", ["n", 2, 4, 4]), ("y", ["n", 4]), 9, "mxnet", as_inputs=True, ir=3, typed=True)
    write("opset9", m, f(2, 2, 4, 4))


def softmax_flat():
    """Softmax before opset 13: over all axes from `axis` on."""
    nodes = [node("Softmax", "x", "s", axis=1), node("Relu", "s", "y")]
    m = model(nodes, {}, ("x", ["n", 3, 2, 2]), ("y", ["n", 3, 2, 2]), 11)
    write("softmax_opset11", m, f(2, 3, 2, 2))


def opset11():
    """Clip with an upper bound alone, Resize with its empty region, a cast weight."""
    nodes = [
        hole("Clip", ["x", "", "hi"], ["clip"]),
        node("Resize", "clip roi scales", "up", mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
        node("Conv", "up w", "y", kernel_shape=[1, 1]),
    ]
    inits = {"hi": np.array(0.5, np.float32), "roi": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 2], np.float32), "w": f(2, 3, 1, 1)}
    m = model(nodes, inits, ("x", ["n", 3, 3, 4]), ("y", ["n", 2, 6, 8]), 11, "pytorch")
    write("opset11", m, f(2, 3, 3, 4))


def opset13():
    """Axes and sizes as inputs."""
    nodes = [
        node("Split", "x sizes", "a b", axis=1),
        node("ReduceSum", "a last", "sum", keepdims=1),
        node("Squeeze", "sum last", "row"),
        node("Unsqueeze", "row last", "back"),
        node("Mul", "b back", "y"),
    ]
    inits = {"sizes": i64(1, 3), "last": i64(3)}
    m = model(nodes, inits, ("x", ["n", 4, 2, 5]), ("y", ["n", 3, 2, 5]), 13)
    write("opset13", m, f(2, 4, 2, 5))


def fp16_weights():
    """Weights stored in half precision behind Casts."""
    nodes = [
        node("Cast", "w16", "w", to=FLOAT), node("Cast", "b16", "b", to=FLOAT),
        node("Conv", "x w b", "conv", kernel_shape=[3, 3]),
        node("Cast", "conv", "same", to=FLOAT),
        node("Relu", "same", "y"),
    ]
    inits = {"w16": f(4, 3, 3, 3).astype(np.float16), "b16": f(4).astype(np.float16)}
    m = model(nodes, inits, ("x", ["n", 3, 5, 5]), ("y", ["n", 4, 3, 3]), 17, "pytorch")
    write("fp16_weights", m, f(2, 3, 5, 5))
    typed = model(nodes, inits, ("x", ["n", 3, 5, 5]), ("y", ["n", 4, 3, 3]), 17, "pytorch", typed=True)
    write("fp16_weights_typed", typed, f(2, 3, 5, 5))


def constants():
    """No initializers: weights in Constant nodes of every form (paddle2onnx, and PyTorch without folding)."""
    def attr(name, **kwargs):
        return helper.make_node("Constant", [], [name], **kwargs)

    nodes = [
        const("w", f(3, 2, 3, 3)),
        node("Conv", "x w", "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        attr("half", value_float=0.5), node("Mul", "conv half", "halved"),
        attr("shift", value_floats=[0.1, 0.2, 0.3, 0.4]), node("Add", "halved shift", "shifted"),
        attr("axis", value_int=1), attr("axes", value_ints=[2, 3]),
        node("ReduceMax", "shifted", "peak", axes=[2], keepdims=1),
        node("Sub", "shifted peak", "rel"),
        node("Gather", "rel axis", "map", axis=1),
        attr("one", value_ints=[1]), node("Unsqueeze", "map one", "y"),
    ]
    m = model(nodes, {}, ("x", ["n", 2, 4, 4]), ("y", ["n", 1, 4, 4]), 13, "paddle2onnx")
    write("constants", m, f(2, 2, 4, 4))


def batch8():
    """Exported for a fixed batch of 8."""
    nodes = [node("Conv", "x w", "c", kernel_shape=[3, 3]), node("Flatten", "c", "flat"), node("Gemm", "flat fc", "y")]
    m = model(nodes, {"w": f(2, 3, 3, 3), "fc": f(8, 4)}, ("x", [8, 3, 4, 4]), ("y", [8, 4]), 13)
    write("batch8", m, f(8, 3, 4, 4))


def variadic():
    """Sum, Mean, Max, Min of any number of inputs."""
    nodes = [
        node("Sum", "x a b", "sum"), node("Mean", "sum x a", "mean"), node("Max", "mean b x", "max"),
        node("Min", "max", "min"), node("Sum", "min x", "two"), node("Mean", "two", "y"),
    ]
    m = model(nodes, {"a": f(1, 3), "b": f(3)}, ("x", ["n", 3]), ("y", ["n", 3]), 13)
    write("variadic", m, f(2, 3))


def contrib_gelu():
    """An operator of ONNX Runtime's own domain that means a standard one."""
    nodes = [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]
    m = model(nodes, {}, ("x", ["n", 4]), ("y", ["n", 4]), 17, extra_opsets=[("com.microsoft", 1)])
    write("contrib_gelu", m, f(3, 4))


def attention():
    """A ViT's attention through TorchScript: the class token expanded by Shape, ConstantOfShape, Mul, Equal, Where."""
    nodes = [
        node("Shape", "x", "shape"), const("zero", np.array(0, np.int64)), node("Gather", "shape zero", "n", axis=0),
        const("axes", i64(0)), node("Unsqueeze", "n axes", "n1"), const("m1", i64(-1)),
        node("Concat", "n1 m1 m1", "target", axis=0),
        const("three", i64(3)), node("ConstantOfShape", "three", "ones", value=numpy_helper.from_array(i64(1))),
        const("mone", i64(-1)), node("Mul", "ones mone", "mones"), node("Equal", "target mones", "same"),
        node("Where", "same ones target", "size"), node("Expand", "cls size", "token"),
        node("Concat", "token x", "seq", axis=1),
        node("MatMul", "seq qkv", "qkv_out"),
        const("five", i64(0, 5, 3, 2, 4)), node("Reshape", "qkv_out five", "heads"),
        node("Transpose", "heads", "per_head", perm=[2, 0, 3, 1, 4]),
        node("Split", "per_head", "q0 k0 v0", axis=0), const("first", i64(0)),
        node("Squeeze", "q0 first", "q"), node("Squeeze", "k0 first", "k"), node("Squeeze", "v0 first", "v"),
        node("Transpose", "k", "kt", perm=[0, 1, 3, 2]), node("MatMul", "q kt", "scores"),
        const("root", np.array(2, np.float32)), node("Div", "scores root", "scaled"), node("Softmax", "scaled", "p", axis=-1),
        node("MatMul", "p v", "o"), node("Transpose", "o", "ot", perm=[0, 2, 1, 3]),
        const("join", i64(0, 0, -1)), node("Reshape", "ot join", "joined"),
        node("Gather", "joined zero", "y", axis=1),
    ]
    m = model(nodes, {"cls": f(1, 1, 8), "qkv": f(8, 24)}, ("x", ["n", 4, 8]), ("y", ["n", 8]), 17, "pytorch")
    write("attention", m, f(2, 4, 8))


def qdq():
    """Quantize and dequantize pairs as static quantizers write them; expected is the same model without the pairs on
    activations, since an imported graph is float and remembers its scales."""
    w = rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    fc = (rng.integers(-127, 128, (5, 4)) + 128).astype(np.uint8)
    inits = {
        "w_q": w, "w_scale": np.abs(f(4, scale=0.01)) + 0.002, "w_zp": np.zeros(4, np.int8),
        "b_q": rng.integers(-1000, 1000, 4).astype(np.int32), "b_scale": np.abs(f(4, scale=1e-4)) + 1e-5,
        "b_zp": np.zeros(4, np.int32),
        "x_scale": np.array(0.02, np.float32), "x_zp": np.array(120, np.uint8),
        "c_scale": np.array(0.03, np.float32), "c_zp": np.array(-128, np.int8),
        "p_scale": np.array(0.01, np.float32), "p_zp": np.array(0, np.int8),
        "fc_q": fc, "fc_scale": np.array(0.005, np.float32), "fc_zp": np.array(128, np.uint8),
        "m": f(5, 5), "m_scale": np.abs(f(5, scale=0.01)) + 0.01, "m_zp": np.zeros(5, np.int8),
    }

    def pair(x, y, params, on):
        if not on:
            return [node("Identity", x, y)]
        return [node("QuantizeLinear", f"{x} {params}_scale {params}_zp", f"{x}_q", name=f"{x}_Q"),
                node("DequantizeLinear", f"{x}_q {params}_scale {params}_zp", y, name=f"{x}_DQ")]

    def nodes(on):
        return [
            *pair("x", "x_dq", "x", on),
            node("DequantizeLinear", "w_q w_scale w_zp", "w", axis=0),
            node("DequantizeLinear", "b_q b_scale b_zp", "b", axis=0),
            node("Conv", "x_dq w b", "conv", kernel_shape=[3, 3]),
            node("Relu", "conv", "relu"),
            *pair("relu", "relu_dq", "c", on),
            node("GlobalAveragePool", "relu_dq", "pool"),
            *pair("pool", "pool_dq", "p", on),
            node("Flatten", "pool_dq", "flat"),
            node("DequantizeLinear", "fc_q fc_scale fc_zp", "fc"),
            node("Transpose", "fc", "fc_t", perm=[1, 0]),
            node("MatMul", "flat fc_t", "scores"),
            node("QuantizeLinear", "m m_scale m_zp", "m_q", axis=1),
            node("DequantizeLinear", "m_q m_scale m_zp", "m_dq", axis=1),
            node("MatMul", "scores m_dq", "y"),
        ]

    info = ("x", ["n", 3, 5, 5]), ("y", ["n", 5])
    plain = model(nodes(False), inits, *info, 13)
    write("qdq", model(nodes(True), inits, *info, 13, "onnx.quantize"), f(2, 3, 5, 5), expected=plain)
    # and what it computes as it stands, rounding every activation as the pairs say
    np.save(OUT / "qdq.q.npy", run(None, np.load(OUT / "qdq.x.npy"), OUT / "qdq.onnx"))


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for build in [torch_script, torch_dynamo, pad_chain, keras, tflite, opset9, softmax_flat, opset11, opset13,
                  fp16_weights, constants, batch8, variadic, contrib_gelu, attention, qdq]:
        build()
