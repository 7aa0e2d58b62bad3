#!/usr/bin/env bash
# The dev profile has optimised dependencies (opt-level 3) and is already built.
# Our kernels, candle's and onnxruntime's on the same shapes, in one run, one thread each.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${VENV:-target/peers}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet onnx onnxruntime numpy
export RAYON_NUM_THREADS=1
cargo bench --profile dev --workspace --bench network -- --output-format bencher 2>/dev/null | grep '^test'
"$venv/bin/python" benches/peers/onnx_kernels.py
