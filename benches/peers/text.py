"""Scores of other text detectors: see text.sh."""

import csv
import io
import json
import re
import sys
import time

import zstandard
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression


def read(path):
    if path.endswith(".csv"):
        with open(path, newline="") as f:
            yield from csv.DictReader(f)
        return
    with open(path, "rb") as f:
        if path.endswith(".zst"):
            f = zstandard.ZstdDecompressor().stream_reader(f)
        for line in io.TextIOWrapper(f, "utf-8"):
            if line.strip():
                yield json.loads(line)


def plain(text):
    """Without markup, in lower case, with one kind of quote: what the TF-IDF reads."""
    text = re.sub(r"[*#`_>|]+", " ", text.lower())
    return re.sub(r"\s+", " ", text.translate(str.maketrans("’‘“”", "''\"\"")))


def table(manifest, out):
    """AUROC and TPR at 1 % FPR of each system by language, on the texts that all of them have scored."""
    from sklearn.metrics import roc_auc_score, roc_curve

    def scores(path):
        with open(path, newline="") as f:
            return {r["path"]: float(r["score"]) for r in csv.DictReader(f) if r["score"]}

    systems = {"candor": scores(f"{out}/report/scores.csv")}
    systems |= {name: scores(f"{out}/{name}.csv") for name in ("tfidf", "is-it-slop")}
    for lang in ("en", "zh"):
        rows = [r for r in read(manifest) if r.get("lang") == lang]
        rows = [r for r in rows if all((r.get("id") or r["path"]) in s for s in systems.values())]
        labels = [r["label"] in ("ai", "fake", "spoof") for r in rows]
        for name, s in systems.items():
            found = [s[r.get("id") or r["path"]] for r in rows]
            fpr, tpr, _ = roc_curve(labels, found, drop_intermediate=False)
            print(f"{lang} {name}: {len(rows)} texts, AUROC {roc_auc_score(labels, found):.3f}, "
                  f"TPR at 1 % FPR {max(tpr[fpr <= 0.01]):.3f}")


if sys.argv[1] == "--table":
    table(*sys.argv[2:])
    sys.exit()

# Not before: the table is made without what its library needs (see text.sh).
import is_it_slop  # noqa: E402

out, manifest, *more = sys.argv[1:]
train = [r for m in (manifest, *more) for r in read(m) if r["split"] == "train" and r.get("attack") in (None, "", "none")]
test = [r for r in read(manifest) if r["split"] == "dev"]
size = sum(len(r["text"].encode()) for r in test) / 1e6
print(f"{len(train)} texts to learn from, {len(test)} to score, {size:.1f} MB")


def write(name, scores, seconds):
    with open(f"{out}/{name}.csv", "w", newline="") as f:
        w = csv.writer(f)
        w.writerow(["path", "score"])
        w.writerows((r.get("id") or r["path"], s) for r, s in zip(test, scores))
    print(f"{name}: {size / seconds:.2f} MB/s", flush=True)


is_it_slop.predict("A first call that loads the model. " * 20)
start = time.perf_counter()
scores = [is_it_slop.predict(r["text"]).ai_probability for r in test]
write("is-it-slop", scores, time.perf_counter() - start)

words = TfidfVectorizer(ngram_range=(1, 3), min_df=3, max_features=200_000, sublinear_tf=True)
chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=5, max_features=200_000, sublinear_tf=True)
texts = [plain(r["text"]) for r in train]
x = hstack([words.fit_transform(texts), chars.fit_transform(texts)]).tocsr()
labels = [r["label"] in ("ai", "fake", "spoof") for r in train]
model = LogisticRegression(C=10, solver="liblinear").fit(x, labels)
start = time.perf_counter()
texts = [plain(r["text"]) for r in test]
scores = model.decision_function(hstack([words.transform(texts), chars.transform(texts)]).tocsr())
write("tfidf", scores, time.perf_counter() - start)

# One file for the speed of the program itself.
with open(f"{out}/text.txt", "w") as f:
    for r in test:
        f.write(r["text"] + "\n\n")
        if f.tell() > 3_000_000:
            break
