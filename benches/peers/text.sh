#!/usr/bin/env bash
# Scores the development texts of a manifest by other detectors and sets them beside Candor's, in one run.
#
#   benches/peers/text.sh CANDOR OUT MANIFEST [MORE...]
#
# MANIFEST and MORE are JSON Lines (.jsonl, .jsonl.zst) or CSV with id or path, text, label and split; the train texts of all are learned
# from, the dev texts of MANIFEST are scored. The peers: is-it-slop 0.6.3 (PyPI, its own weights; it may know some of these texts),
# and a logistic regression on TF-IDF of words and characters, trained here. Both run in an environment of their own. OUT gets
# their scores, the report of `candor eval` with paired intervals, the MB/s of each on one core and a table by language.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
candor=$(realpath "$1") out=$2 manifest=$3
shift 2
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q is-it-slop==0.6.3 scikit-learn==1.7.2 zstandard==0.25.0
# Its library asks for names that the C library has since glibc 2.38; older ones have the functions under other names.
cat > "$work/names.c" <<'C'
#include <stdlib.h>
long __isoc23_strtol(const char *s, char **e, int b) { return strtol(s, e, b); }
long long __isoc23_strtoll(const char *s, char **e, int b) { return strtoll(s, e, b); }
unsigned long __isoc23_strtoul(const char *s, char **e, int b) { return strtoul(s, e, b); }
unsigned long long __isoc23_strtoull(const char *s, char **e, int b) { return strtoull(s, e, b); }
C
if ! "$work/venv/bin/python" -c 'import is_it_slop' 2>/dev/null; then
    cc -shared -fPIC -o "$work/names.so" "$work/names.c"
    export LD_PRELOAD="$work/names.so"
fi
export OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1
taskset -c 0 "$work/venv/bin/python" "$here/text.py" "$out" "$@"
unset LD_PRELOAD
start=$(date +%s.%N)
taskset -c 0 "$candor" scan --quiet --format jsonl "$out/text.txt" > "$out/text.jsonl" || true
end=$(date +%s.%N)
awk -v b="$(stat -c %s "$out/text.txt")" -v s="$start" -v e="$end" \
    'BEGIN { printf "candor: %.2f MB/s on one file, start and end of the program included\n", b / 1e6 / (e - s) }'
"$candor" eval "$manifest" --split dev --scores "$out/is-it-slop.csv" --scores "$out/tfidf.csv" -o "$out/report"
"$work/venv/bin/python" "$here/text.py" --table "$manifest" "$out"
