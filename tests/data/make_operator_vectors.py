"""Writes operators.json: small cases of every operator with the outputs that ONNX Runtime computes.

    pip install onnx onnxruntime numpy
    python tests/data/make_operator_vectors.py

A case holds the ONNX node as a model has it: operator type, opset, attributes, inputs (null where an optional one is
absent), and the outputs. `extra` holds the attributes that the importer adds to the node's own.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

rng = np.random.default_rng(7)
cases = []
NAMES = {"float32": "f32", "int64": "i64", "int32": "i32", "int8": "i8", "uint8": "u8", "bool": "bool",
         "float64": "f64", "float16": "f16"}


def f(*shape, scale=1.0):
    """Random reals with three decimals."""
    return np.round(rng.normal(size=shape) * scale, 3).astype(np.float32)


def i(*values):
    return np.array(values, np.int64)


def reals(*values):
    return np.array(values, np.float32)


def tensor(a):
    numbers = a.astype(np.float64 if a.dtype.kind == "f" else np.int64).ravel().tolist()
    if a.dtype == np.float32:
        numbers = [json.loads(np.format_float_positional(v, unique=True, trim="0")) if np.isfinite(v) else str(v)
                   for v in a.ravel()]
    return {"dtype": NAMES[str(a.dtype)], "shape": list(a.shape), "data": numbers}


def case(op, *inputs, opset=18, outputs=1, extra=None, **attrs):
    inputs = [x if x is None else np.asarray(x) for x in inputs]
    names = ["" if x is None else f"x{k}" for k, x in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{k}" for k in range(outputs)], **attrs)
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
             for n, x in zip(names, inputs) if x is not None]
    outs = [helper.make_value_info(f"y{k}", onnx.TypeProto()) for k in range(outputs)]
    model = helper.make_model(helper.make_graph([node], "g", infos, outs),
                              opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    got = session.run(None, {n: x for n, x in zip(names, inputs) if x is not None})
    shown = {k: (tensor(onnx.numpy_helper.to_array(v)) if isinstance(v, onnx.TensorProto) else v)
             for k, v in attrs.items()}
    cases.append({"op": op, "opset": opset, "attrs": shown, "extra": extra or {},
                  "inputs": [None if x is None else tensor(x) for x in inputs], "outputs": [tensor(y) for y in got]})


def convolutions():
    x = f(1, 4, 7, 6)
    case("Conv", x, f(3, 4, 3, 2), f(3), pads=[1, 0, 2, 1], strides=[2, 1])
    case("Conv", x, f(6, 2, 3, 3), group=2, dilations=[2, 1], pads=[2, 1, 2, 1], kernel_shape=[3, 3])
    case("Conv", x, f(4, 1, 3, 3), f(4), group=4, auto_pad="SAME_UPPER", strides=[2, 2])
    case("Conv", x, f(2, 4, 2, 2), auto_pad="SAME_LOWER", strides=[1, 2])
    case("Conv", x, f(2, 4, 1, 1), auto_pad="VALID")
    case("Gemm", f(3, 4), f(2, 4), f(2), transB=1, alpha=0.5, beta=2.0)
    case("Gemm", f(4, 3), f(4, 2), f(3, 1), transA=1)
    case("Gemm", f(3, 4), f(4, 2))
    case("MatMul", f(2, 1, 3, 4), f(5, 4, 2))
    case("MatMul", f(4), f(2, 4, 3))
    case("MatMul", f(2, 3, 4), f(4))


def poolings():
    x = f(1, 2, 7, 6)
    window = dict(kernel_shape=[3, 2], strides=[2, 2])
    case("MaxPool", x, pads=[1, 0, 1, 1], **window)
    case("MaxPool", x, pads=[1, 0, 0, 1], ceil_mode=1, **window)
    case("MaxPool", x, kernel_shape=[2, 3], dilations=[2, 1], strides=[1, 2])
    case("MaxPool", x, auto_pad="SAME_LOWER", **window)
    for include in (0, 1):
        case("AveragePool", x, pads=[1, 0, 2, 1], count_include_pad=include, **window)
        case("AveragePool", x, pads=[1, 1, 0, 1], count_include_pad=include, ceil_mode=1, opset=19, **window)
        case("AveragePool", x, auto_pad="SAME_UPPER", count_include_pad=include, **window)
    case("AveragePool", x, kernel_shape=[2, 2], dilations=[2, 3], opset=19)
    case("GlobalAveragePool", x)
    case("GlobalMaxPool", x)


def elementwise():
    x = f(2, 3, scale=2.0)
    for op in ["Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu", "Neg",
               "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh"]:
        case(op, x)
    case("Gelu", x, opset=20)
    case("Sqrt", np.abs(x))
    case("Log", np.abs(x))
    case("Elu", x, alpha=0.3)
    case("HardSigmoid", x, alpha=0.1, beta=0.6)
    case("LeakyRelu", x, alpha=0.3)
    case("Clip", x, np.float32(-0.5), np.float32(0.7))
    case("Clip", x, None, np.float32(0.7))
    case("Clip", x, min=-0.1, opset=6)
    case("Not", np.array([True, False]))
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
        case(op, f(2, 1, 3), f(4, 1))
    case("Div", i(7, -7, 7, -7), i(2, 2, -2, -2))
    case("Mod", i(7, -7, 7, -7), i(3, 3, -3, -3))
    case("Mod", i(7, -7, 7, -7), i(3, 3, -3, -3), fmod=1)
    case("Mod", reals(5.5, -5.5), reals(2, 2), fmod=1)
    case("Pow", np.abs(x), reals(0.5))
    case("PRelu", f(1, 3, 2, 2), f(3, 1, 1))
    for op in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
        case(op, reals(1, 2, 3), reals(2))
    case("And", np.array([True, True, False]), np.array([True, False, False]))
    case("Or", np.array([True, True, False]), np.array([True, False, False]))
    case("Where", np.array([[True], [False]]), f(2, 3), f(3))


def movement():
    x = f(2, 3, 4)
    case("Reshape", x, i(0, -1, 2))
    case("Flatten", x, axis=-1)
    case("Squeeze", f(1, 3, 1), i(-1))
    case("Squeeze", f(1, 3, 1), axes=[0], opset=11)
    case("Squeeze", f(1, 3, 1))
    case("Unsqueeze", f(3), i(0, -1))
    case("Unsqueeze", f(3), axes=[1], opset=11)
    case("Transpose", x)
    case("Transpose", x, perm=[2, 0, 1])
    case("Concat", f(2, 1, 2), f(2, 3, 2), f(2, 2, 2), axis=-2)
    case("Split", f(2, 7), i(3, 0, 4), axis=-1, outputs=3)
    case("Split", f(2, 7), axis=1, num_outputs=3, outputs=3)
    case("Split", f(6, 2), outputs=2, opset=11, extra={"num_outputs": 2})
    case("Split", f(2, 5), split=[1, 4], axis=1, outputs=2, opset=11)
    case("Slice", x, i(1, -1), i(100, -100), i(1, -1), i(1, -2))
    case("Slice", x, i(0, 3), i(2, 0))
    case("Slice", x, i(-1), i(-(2**63)), i(2), i(-3))
    case("Slice", x, starts=[0, 1], ends=[1, -1], axes=[0, 2], opset=9)
    case("Gather", x, i(1, -1, 0).reshape(3, 1), axis=1)
    case("Gather", x, np.array(-1, np.int64), axis=-1)
    case("Expand", f(3, 1), i(2, 1, 4))
    case("Expand", f(3, 4), i(1))
    case("Tile", f(2, 3), i(2, 3))
    y = f(1, 2, 4, 3)
    case("Pad", y, i(0, 0, 1, 2, 0, 1, 0, 1), np.float32(0.5))
    case("Pad", y, i(0, 0, -1, 2, 0, 0, 1, -1))
    case("Pad", y, i(0, 0, 3, 2, 0, 0, 1, 1), mode="reflect")
    case("Pad", y, i(0, 1, 3, 0, 0, 1, 5, 1), mode="edge")
    case("Pad", y, i(1, 2, 0, 2), np.float32(2), i(-2, 3))
    case("Pad", y, pads=[0, 0, 1, 2, 0, 1, 0, 1], value=1.5, opset=10)
    case("Pad", y, i(0, 0, 3, 2, 0, 0, 1, 1), mode="wrap", opset=19)
    case("Identity", x)
    case("Dropout", x, np.float32(0.5))
    case("Dropout", x, ratio=0.3, opset=11)
    case("DepthToSpace", f(1, 8, 2, 3), blocksize=2)
    case("DepthToSpace", f(1, 8, 2, 3), blocksize=2, mode="CRD")
    case("SpaceToDepth", f(1, 2, 4, 6), blocksize=2)


def resizing():
    x = f(1, 2, 4, 3)
    up, uneven = reals(1, 1, 2, 3), reals(1, 1, 0.6, 1.7)
    modes = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    for mode in modes:
        how = dict(coordinate_transformation_mode=mode)
        for nearest in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]:
            case("Resize", x, None, uneven, nearest_mode=nearest, **how)
        case("Resize", x, None, up, mode="linear", **how)
        case("Resize", x, None, None, i(1, 2, 7, 2), mode="linear", **how)
        case("Resize", x, None, None, i(1, 2, 1, 5), mode="nearest", **how)
    case("Resize", x, None, uneven, mode="linear", coordinate_transformation_mode="half_pixel_symmetric", opset=19)
    case("Resize", x, None, None, i(5, 2), axes=[3, 2], mode="linear")
    case("Resize", x, reals(), up, opset=11)
    case("Resize", x, reals(), reals(), i(1, 2, 8, 6), opset=11, coordinate_transformation_mode="tf_half_pixel_for_nn")
    case("Resize", x, uneven, opset=10)
    case("Resize", x, up, opset=10, mode="linear")
    case("Upsample", x, up, opset=9)
    case("Upsample", x, up, opset=9, mode="linear")
    case("Upsample", x, opset=8, scales=[1.0, 1.0, 2.0, 2.0])


def normalization():
    x = f(2, 3, 4, scale=2.0)
    for op in ["Softmax", "LogSoftmax"]:
        case(op, x)
        case(op, x, axis=1)
        case(op, x, axis=1, opset=11, extra={"flatten": 1})
        case(op, x, opset=11, extra={"flatten": 1})
    case("LayerNormalization", x, f(4), f(4))
    case("LayerNormalization", x, f(3, 4), axis=-2, epsilon=0.1)
    image = f(1, 4, 3, 2)
    case("BatchNormalization", image, f(4), f(4), f(4), np.abs(f(4)), epsilon=0.01)
    case("InstanceNormalization", image, f(4), f(4), epsilon=0.1)
    case("GroupNormalization", image, f(2), f(2), num_groups=2)
    case("GroupNormalization", image, f(4), f(4), num_groups=2, opset=21)
    case("LRN", f(1, 6, 2, 2, scale=3.0), size=3, alpha=0.2)
    case("LRN", f(1, 6, 2, 2, scale=3.0), size=5, alpha=0.2, beta=0.5, bias=2.0)


def reductions():
    x = np.abs(f(2, 3, 4))
    for op in ["Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]:
        case("Reduce" + op, x, i(-1, 0), keepdims=0)
        case("Reduce" + op, x, i(1))
        case("Reduce" + op, x)
    case("ReduceMean", x, axes=[1, -1], opset=13)
    case("ReduceSum", x, noop_with_empty_axes=1)
    case("ReduceMax", i(3, 9, -4), i(0), keepdims=0)
    case("ReduceProd", i(3, 9, -4), keepdims=0)
    y = reals(1, 3, 3, -2, -2, 0).reshape(2, 3)
    for op in ["ArgMax", "ArgMin"]:
        case(op, y, axis=-1)
        case(op, y, axis=1, keepdims=0, select_last_index=1)
        case(op, y)


def shapes():
    x = f(2, 3, 4)
    case("Shape", x)
    case("Shape", x, start=-2, end=-1)
    case("Size", x)
    case("ConstantOfShape", i(2, 3), value=helper.make_tensor("v", TensorProto.INT64, [1], [7]))
    case("ConstantOfShape", i(2))
    case("Range", np.array(10, np.int64), np.array(3, np.int64), np.array(-3, np.int64))
    case("Range", np.float32(0.5), np.float32(2.0), np.float32(0.5))
    case("Cast", reals(-1.7, 0.5, 3.9), to=7)
    case("Cast", reals(-1.7, 0.0, 0.5), to=9)
    case("Cast", np.array([True, False]), to=1)
    case("Cast", i(300, -1, 5), to=3)
    case("Cast", reals(0.1, 1000.4), to=10)


def quantization():
    x = f(2, 3, 4, scale=4.0)
    halves = reals(0.5, 1.5, 2.5, -0.5, -1.5, 300, -300, np.inf)
    z = lambda kind, *v: np.array(v if len(v) > 1 else v[0], kind)
    case("QuantizeLinear", x, np.float32(0.03), z(np.uint8, 120))
    case("QuantizeLinear", x, np.float32(0.03), z(np.int8, 0), extra={"output_dtype": 3})
    case("QuantizeLinear", halves, np.float32(1), z(np.uint8, 1))
    case("QuantizeLinear", halves, np.float32(1))
    case("QuantizeLinear", x, reals(0.1, 0.05, 0.02), z(np.int8, 0, 3, -5), axis=-2, extra={"output_dtype": 3})
    q = rng.integers(-128, 128, (2, 3, 2)).astype(np.int8)
    case("DequantizeLinear", q, np.float32(0.03), z(np.int8, 4))
    case("DequantizeLinear", q, reals(0.1, 0.05, 0.02), z(np.int8, 0, 3, -5))
    case("DequantizeLinear", np.array([70000, -3], np.int32), np.float32(0.01))
    case("DequantizeLinear", q.view(np.uint8), reals(0.1, 0.05), axis=0)


for family in [convolutions, poolings, elementwise, movement, resizing, normalization, reductions, shapes, quantization]:
    family()
lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
path = pathlib.Path(__file__).with_name("operators.json")
path.write_text(f"[\n{lines}\n]\n")
print(f"{len(cases)} cases, {path.stat().st_size} bytes, onnxruntime {onnxruntime.__version__}")
