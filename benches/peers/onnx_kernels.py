#!/usr/bin/env python3
"""onnxruntime on the shapes of benches/network.rs, one thread, milliseconds (20th percentile of repeats).

    python3 -m venv /tmp/peer && /tmp/peer/bin/pip install onnx onnxruntime numpy
    /tmp/peer/bin/python benches/peers/onnx_kernels.py

benches/peers/kernels.sh runs this and the criterion benchmark one after the other and prints both.
"""
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def session(nodes, inputs, weights):
    graph = helper.make_graph(
        nodes,
        "kernel",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, n) for n, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def measure(name, nodes, inputs, weights):
    rng = np.random.default_rng(1)
    run = session(nodes, inputs, weights)
    feed = {n: rng.standard_normal(s, dtype=np.float32) for n, s in inputs.items()}
    times = []
    deadline = time.perf_counter() + 2
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        run.run(None, feed)
        times.append(time.perf_counter() - start)
    print(f"{name:32} onnxruntime forward {1e3 * np.percentile(times, 20):8.3f} ms")


def conv(name, x, w, stride=1, group=1):
    pad = w[2] // 2
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=[pad] * 4, group=group, kernel_shape=w[2:]
    )
    weight = np.random.default_rng(2).standard_normal(w, dtype=np.float32)
    measure(name, [node], {"x": x}, {"w": weight})


print("onnxruntime", ort.__version__)
conv("conv3x3 64-64 56x56", [1, 64, 56, 56], [64, 64, 3, 3])
conv("conv3x3 s2 7-24 128x128", [1, 7, 128, 128], [24, 7, 3, 3], stride=2)
conv("conv1x1 64-128 56x56", [1, 64, 56, 56], [128, 64, 1, 1])
conv("depthwise3x3 64 56x56", [1, 64, 56, 56], [64, 1, 3, 3], group=64)
measure(
    "max pool 2x2 8x32x64x64",
    [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
    {"x": [8, 32, 64, 64]},
    {},
)
