"""Marks pictures, asks candor about them, and counts. Called by watermark.sh."""

import json
import random
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

warnings.simplefilter("ignore")
sys.modules["torch"] = types.ModuleType("torch")
from imwatermark import WatermarkEncoder  # noqa: E402

candor, marked, clean, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
seed, most, crops = map(int, sys.argv[5:8])
SDXL = [int(b) for b in bin(0b101100111110110010010000011110111011000110011110)[2:]]
# `bin` drops its two leading zeros, here as in the program.
FLUX = [int(b) for b in bin(0b001010101111111010000111100111001111010100101110)[2:]]
# Message, whether the program hands the library RGB in the place of its BGR, and whether floating point numbers.
MARKS = {
    "Stable Diffusion 1": ("bytes", b"StableDiffusionV1", False, False),
    "Stable Diffusion 2": ("bytes", b"SDV2", False, False),
    "SDXL": ("bits", SDXL, False, True),
    "SDXL, RGB": ("bits", SDXL, True, True),
    "FLUX": ("bits", FLUX, False, True),
}


def pictures(folder):
    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)


def crop(path, side, rng):
    image = Image.open(path).convert("RGB")
    if min(image.size) < side:
        return None
    x, y = (rng.randrange(size - side + 1) for size in image.size)
    return image.crop((x, y, x + side, y + side))


def found(files):
    """Grade of the statement about a watermark for each file."""
    grades = {}
    for i in range(0, len(files), 200):
        args = [candor, "inspect", "-f", "json", *map(str, files[i : i + 200])]
        for line in subprocess.run(args, capture_output=True, text=True, check=True).stdout.splitlines():
            report = json.loads(line)
            marks = [s["grade"] for s in report["statements"] if s["id"] == "watermark/dwt-dct"]
            grades[report["path"]] = marks[0] if marks else "none"
    return [grades[str(f)] for f in files]


rng = random.Random(seed)
sources = [p for p in pictures(marked) if min(Image.open(p).size) >= 512]
rng.shuffle(sources)
sources = sources[:most]
print(f"{len(sources)} pictures of 512 x 512 pixels")
pooled = {}
for name, (kind, message, rgb, real) in MARKS.items():
    files = {"png": [], "jpeg 95": [], "jpeg 85": []}
    for i, path in enumerate(sources):
        pixels = np.array(crop(path, 512, rng)).astype(np.float32 if real else np.uint8)
        encoder = WatermarkEncoder()
        encoder.set_watermark(kind, message)
        given = pixels if rgb else pixels[:, :, ::-1]
        out = encoder.encode(np.ascontiguousarray(given), "dwtDct")
        out = np.clip(out, 0, 255).round().astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(out if rgb else out[:, :, ::-1]))
        stem = work / f"{name.replace(' ', '')}-{i}"
        image.save(f"{stem}.png")
        image.save(f"{stem}-95.jpg", quality=95)
        image.save(f"{stem}-85.jpg", quality=85)
        files["png"].append(f"{stem}.png")
        files["jpeg 95"].append(f"{stem}-95.jpg")
        files["jpeg 85"].append(f"{stem}-85.jpg")
    grades = {form: found(paths) for form, paths in files.items()}
    share = lambda form, grade: f"{grades[form].count(grade) / len(grades[form]):.0%}"  # noqa: E731
    for form in grades:
        pooled.setdefault(form, []).extend(grades[form])
    print(f"{name:20}", "  ".join(f"{form} {share(form, 'strong')} (weak {share(form, 'weak')})" for form in grades))

shares = (f"{form} {grades.count('strong') / len(grades):.1%}" for form, grades in pooled.items())
print(f"{'together':20}", "  ".join(shares))

files, candidates, i = [], pictures(clean), 0
while len(files) < crops and i < 10 * crops:
    image = crop(candidates[i % len(candidates)], rng.choice([256, 320, 384, 512]), rng)
    i += 1
    if image is not None:
        path = work / f"clean-{len(files)}.png"
        image.save(path)
        files.append(path)
grades = found(files)
print(f"{len(files)} crops without a mark: {grades.count('strong')} strong, {grades.count('weak')} weak")
