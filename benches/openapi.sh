#!/usr/bin/env bash
# Asks `candor serve` whatever its OpenAPI description allows, and what it doesn't: schemathesis, from PyPI, in an environment of its own.
#
#   benches/openapi.sh [CANDOR] [EXAMPLES]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
candor=${1:-$root/target/release/candor}
candor=$(realpath "$candor")
work=$(mktemp -d)
cd "$work" # where schemathesis leaves its notes
trap 'kill $pid 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q schemathesis
"$candor" serve --listen 127.0.0.1:0 -q >"$work/out" 2>"$work/log" & pid=$!
until grep -q http "$work/out"; do sleep 0.1; done
url=$(sed 's/.*\(http[^ ]*\)\/$/\1/' "$work/out")
"$work/venv/bin/schemathesis" run "$url/openapi.json" --url "$url" --max-examples "${2:-200}" --checks all \
    --phases examples,coverage,fuzzing,stateful || true
