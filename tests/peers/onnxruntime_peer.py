"""ONNX Runtime as a peer: sessions, logits, `quantize_static`."""
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

# activations and weights. S8 with a zero point would be U8 by another name: here it is symmetric, as TensorRT has it
TYPES = {"U8S8": QuantType.QUInt8, "S8S8": QuantType.QInt8}


def session(path, threads=0):
    """A session on the CPU; 0 threads: as many as there are cores."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(path, batches, threads=0):
    """The first output of the model for all batches."""
    s = session(path, threads)
    name = s.get_inputs()[0].name
    return np.concatenate([s.run(None, {name: x})[0] for x in batches])


class Reader(CalibrationDataReader):
    """Batches for calibration."""

    def __init__(self, name, batches):
        self.name, self.batches = name, iter(batches)

    def get_next(self):
        x = next(self.batches, None)
        return None if x is None else {self.name: x}


def folded(model, folder):
    """The model with constants and BatchNormalization folded: what its authors say to quantize."""
    out = Path(folder) / "folded.onnx"
    if not out.exists():
        quant_pre_process(str(model), str(out), skip_symbolic_shape=True)
    return out


def quantize(model, folder, batches, method, types="U8S8", ranges=None):
    """The model in INT8 (QDQ, weights per channel), made in `folder` where it is not there yet. `batches()` gives the
    calibration images; `ranges` names a file that keeps what they gave, for the same method with other types."""
    out = Path(folder) / f"{types}_{method}.onnx"
    if not out.exists():
        source = folded(model, folder)
        part = out.with_suffix(".part")
        quantize_static(
            str(source), str(part), Reader(session(source).get_inputs()[0].name, batches()),
            quant_format=QuantFormat.QDQ, calibrate_method=CalibrationMethod[method],
            activation_type=TYPES[types], weight_type=QuantType.QInt8, per_channel=True,
            calibration_cache_path=ranges, extra_options={"ActivationSymmetric": types == "S8S8"})
        part.rename(out)
    return out
