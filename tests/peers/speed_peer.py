"""One measurement of a peer in a process of its own, called by speed.py; prints JSON.

    speed_peer.py bench MODEL THREADS BATCH SECONDS     runs a second, as `quantize bench` has them
    speed_peer.py start MODEL                           a session made, then its first result
    speed_peer.py calibrate NAME COUNT FOLDER           quantize_static, method Entropy
    speed_peer.py convert NAME COUNT FOLDER             the model in INT8 by both peers
    speed_peer.py convert_ort NAME COUNT FOLDER         by ONNX Runtime alone

MODEL: a file; ONNX files are run by ONNX Runtime, or by OpenVINO with `openvino:` before the path, .xml files by OpenVINO.
"""
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np


def loaded(model, threads, batch, shape=None):
    """A function that runs the model once on random numbers. `shape` is that of its input, where it is known."""
    path = model.removeprefix("openvino:")
    if for_openvino(model):
        import openvino_peer
        shape = shape or shape_of(path, batch)
        hint = "LATENCY" if batch == 1 else "THROUGHPUT"
        options = {"PERFORMANCE_HINT": hint, "NUM_STREAMS": 1}
        request = openvino_peer.compiled(path, threads, shape, **options).create_infer_request()
        x = numbers(shape)
        return lambda: request.infer([x], share_inputs=True)
    import onnxruntime_peer
    session = onnxruntime_peer.session(path, threads)
    put = session.get_inputs()[0]
    x = numbers([batch, *put.shape[1:]])
    return lambda: session.run(None, {put.name: x})


def for_openvino(model):
    return model.startswith("openvino:") or model.endswith(".xml")


def shape_of(path, batch):
    """Shape of an OpenVINO model's input."""
    import openvino
    return [batch, *(d.get_length() for d in openvino.Core().read_model(path).inputs[0].partial_shape[1:])]


def numbers(shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def bench(model, threads, batch, seconds):
    run, batch, seconds = loaded(model, int(threads), int(batch)), int(batch), float(seconds)
    timed(run, seconds / 3)
    times, whole = timed(run, seconds)
    return {"throughput_per_s": len(times) * batch / whole, "min_ms": 1e3 * min(times),
            "median_ms": 1e3 * float(np.median(times))}


def timed(run, seconds):
    """Seconds of each run, three at least, and of all."""
    start, times = time.perf_counter(), []
    while len(times) < 3 or time.perf_counter() - start < seconds:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return times, time.perf_counter() - start


def start(model):
    # not part of it: Python's modules, and what an application knows without reading the model
    if for_openvino(model):
        import openvino_peer  # noqa: F401
    else:
        import onnxruntime_peer  # noqa: F401
    shape = shape_of(model.removeprefix("openvino:"), 1) if for_openvino(model) else None
    began = time.perf_counter()
    run = loaded(model, 0, 1, shape)
    made = time.perf_counter()
    run()
    return {"session_ms": 1e3 * (made - began), "ms": 1e3 * (time.perf_counter() - began)}


def calibrate(name, count, folder):
    import onnxruntime_peer
    from zoo import models
    model = models([name])[0]
    images, folder = model.images("calib", int(count)), Path(folder)
    onnxruntime_peer.folded(model.path, folder)
    began = time.perf_counter()
    onnxruntime_peer.quantize(model.path, folder, lambda: images.batches(1), "Entropy")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def convert_ort(name, count, folder):
    import onnxruntime_peer
    from zoo import models
    model = models([name])[0]
    images = model.images("calib", int(count))
    return {"ort": str(onnxruntime_peer.quantize(model.path, folder, lambda: images.batches(1), "MinMax"))}


def convert(name, count, folder):
    import openvino_peer
    from zoo import models
    model = models([name])[0]
    images = model.images("calib", int(count))
    nncf = openvino_peer.quantize(model.path, folder, lambda: images.batches(1))
    return {**convert_ort(name, count, folder), "nncf": str(nncf)}


if __name__ == "__main__":
    print("\n" + json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
