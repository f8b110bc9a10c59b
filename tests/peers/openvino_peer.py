"""OpenVINO as a peer: FP32, and INT8 by NNCF."""
from pathlib import Path

import numpy as np
import openvino as ov


def quantize(model, folder, batches, preset="default"):
    """The model in INT8, made in `folder` where it is not there yet; `batches()` gives the calibration images, one at
    a time."""
    out = Path(folder) / f"nncf_{preset}.xml"
    if not out.exists():
        import nncf  # a model that was converted elsewhere runs without it

        presets = {"default": None, "mixed": nncf.QuantizationPreset.MIXED}
        data = list(batches())
        quantized = nncf.quantize(ov.Core().read_model(str(model)), nncf.Dataset(data), preset=presets[preset],
                                  subset_size=len(data))
        part = out.with_name(f"part_{preset}.xml")
        ov.save_model(quantized, str(part), compress_to_fp16=False)
        part.with_suffix(".bin").rename(out.with_suffix(".bin"))
        part.rename(out)
    return out


def compiled(path, threads=0, shape=None, **options):
    """The model on the CPU; 0 threads: as many as there are cores. A model in FP32 stays in FP32, where OpenVINO by
    itself would take BF16 on a CPU that has it."""
    core = ov.Core()
    model = core.read_model(str(path))
    if shape:
        model.reshape(shape)
    if not Path(path).name.startswith("nncf_"):
        options["INFERENCE_PRECISION_HINT"] = "f32"
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return core.compile_model(model, "CPU", options)


def logits(path, batches):
    """The first output of the model for all batches."""
    model = compiled(path)
    return np.concatenate([model([x])[0] for x in batches])
