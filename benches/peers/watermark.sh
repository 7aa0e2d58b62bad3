#!/usr/bin/env bash
# Marks pictures with the library that Stable Diffusion and its kin mark theirs with, and counts what `candor inspect` finds.
#
#   benches/peers/watermark.sh CANDOR FOLDER [CLEAN [SEED [PICTURES [CROPS]]]]
#
# FOLDER has pictures to mark, of which 40 are drawn, CLEAN (FOLDER unless given) pictures without a mark, of which 2,000 crops are read. The library comes from
# PyPI (invisible-watermark 0.2.0) into an environment of its own; torch, which another of its schemes takes, is left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
candor=$1 folder=$2 clean=${3:-$2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-deps invisible-watermark==0.2.0
"$work/venv/bin/pip" install -q opencv-python-headless PyWavelets numpy pillow
"$work/venv/bin/python" "$here/watermark.py" "$candor" "$folder" "$clean" "$work" "${4:-8}" "${5:-40}" "${6:-2000}"
