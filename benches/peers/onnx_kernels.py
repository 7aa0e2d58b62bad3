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


def encoder(name, tokens, width, blocks, heads=12, first=False):
    """The blocks of `net::Encoder`: attention and a perceptron, each added and normalised; with `first` those of `net::Clip`,
    normalised before, with a sigmoid in place of the error function."""
    rng = np.random.default_rng(3)
    nodes, weights = [], {}

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(name, value):
        weights[name] = np.asarray(value)
        return name

    def dense(x, name, inputs, outputs):
        w = constant(f"{name}.w", 0.05 * rng.standard_normal((inputs, outputs), dtype=np.float32))
        b = constant(f"{name}.b", np.zeros(outputs, np.float32))
        return add("Add", [add("MatMul", [x, w], f"{name}.m"), b], name)

    def norm(x, name):
        gain, bias = constant(f"{name}.g", np.ones(width, np.float32)), constant(f"{name}.b", np.zeros(width, np.float32))
        return add("LayerNormalization", [x, gain, bias], name, axis=-1, epsilon=1e-12)

    split = constant("split", np.array([tokens, heads, width // heads], np.int64))
    whole = constant("whole", np.array([tokens, width], np.int64))
    scale = constant("scale", np.float32((width // heads) ** -0.5))
    names = {"slope": 1.702} if first else {"half": 0.5, "one": 1.0, "root": 0.5**0.5}
    for n, value in names.items():
        constant(n, np.float32(value))
    hidden, x = 4 * width, "x"
    for i in range(blocks):
        kept, last = x, "y" if i == blocks - 1 else f"{i}z"
        x = norm(x, f"{i}b") if first else x
        q, k, v = (
            add("Transpose", [add("Reshape", [dense(x, f"{i}{n}", width, width), split], f"{i}{n}s")], f"{i}{n}t", perm=perm)
            for n, perm in (("q", [1, 0, 2]), ("k", [1, 2, 0]), ("v", [1, 0, 2]))
        )
        scores = add("Softmax", [add("Mul", [add("MatMul", [q, k], f"{i}s"), scale], f"{i}c")], f"{i}p", axis=-1)
        seen = add("Transpose", [add("MatMul", [scores, v], f"{i}a")], f"{i}at", perm=[1, 0, 2])
        out = dense(add("Reshape", [seen, whole], f"{i}ar"), f"{i}o", width, width)
        kept = add("Add", [kept, out], f"{i}x")
        x = norm(kept, f"{i}n")
        up = dense(x, f"{i}u", width, hidden)
        if first:
            up = add("Mul", [up, add("Sigmoid", [add("Mul", [up, "slope"], f"{i}e")], f"{i}f")], f"{i}i")
            x = add("Add", [kept, dense(up, f"{i}d", hidden, width)], last)
        else:
            erf = add("Add", [add("Erf", [add("Mul", [up, "root"], f"{i}e")], f"{i}f"), "one"], f"{i}g")
            down = dense(add("Mul", [add("Mul", [up, "half"], f"{i}h"), erf], f"{i}i"), f"{i}d", hidden, width)
            x = norm(add("Add", [x, down], f"{i}y"), last)
    measure(name, nodes, {"x": [tokens, width]}, weights)


encoder("encoder, 128 tokens", 128, 384, 6)
# Its patches, less than a hundredth of the work, are left out.
encoder("CLIP ViT-B/16, 224x224", 197, 768, 11, first=True)


def backbone(side=224):
    """EfficientNet-Lite2 up to its last map, batch normalisation folded: `net::EfficientNetLite`."""
    rng = np.random.default_rng(4)
    nodes, weights = [], {"zero": np.float32(0), "six": np.float32(6)}

    def conv(x, name, inputs, outputs, k=1, stride=1, group=1, activation=True):
        fan = k * k * inputs / group
        weights[f"{name}.w"] = (2 / fan) ** 0.5 * rng.standard_normal((outputs, inputs // group, k, k), dtype=np.float32)
        weights[f"{name}.b"] = np.zeros(outputs, np.float32)
        nodes.append(
            helper.make_node(
                "Conv", [x, f"{name}.w", f"{name}.b"], [name], strides=[stride] * 2, auto_pad="SAME_UPPER", group=group
            )
        )
        if not activation:
            return name
        nodes.append(helper.make_node("Clip", [name, "zero", "six"], [f"{name}.a"]))
        return f"{name}.a"

    x, inputs = conv("x", "stem", 3, 32, 3, 2), 32
    groups = [(3, 1, 1, 16, 1), (3, 2, 6, 24, 3), (5, 2, 6, 48, 3), (3, 2, 6, 88, 4), (5, 1, 6, 120, 4), (5, 2, 6, 208, 5), (3, 1, 6, 352, 1)]
    for g, (k, first, expansion, outputs, repeats) in enumerate(groups):
        for i in range(repeats):
            name, stride, wide = f"{g}.{i}", first if i == 0 else 1, inputs * expansion
            y = conv(x, f"{name}e", inputs, wide) if expansion > 1 else x
            y = conv(y, f"{name}d", wide, wide, k, stride, wide)
            y = conv(y, f"{name}p", wide, outputs, activation=False)
            if stride == 1 and inputs == outputs:
                nodes.append(helper.make_node("Add", [x, y], [f"{name}r"]))
                y = f"{name}r"
            x, inputs = y, outputs
    nodes.append(helper.make_node("Identity", [conv(x, "head", inputs, 1280)], ["y"]))
    measure(f"EfficientNet-Lite2, {side}x{side}", nodes, {"x": [1, 3, side, side]}, weights)


backbone()
