#!/usr/bin/env bash
# Forward and backward of our networks, here and in PyTorch, in one run on N threads (1 unless given).
# PyTorch from PyPI does not load without CUDA libraries; Debian's python3-torch runs on the CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
threads=${1:-1}
if ! /usr/bin/python3 -c 'import torch' 2>/dev/null; then
    echo "install the peer first: apt-get install python3-torch" >&2
    exit 1
fi
export RAYON_NUM_THREADS=$threads
cargo bench --profile dev --workspace --bench network -- training --output-format bencher 2>/dev/null | grep '^test'
/usr/bin/python3 benches/peers/training.py "$threads"
