"""Lays out the files of material/<medium>.csv as `candor train` was given them, with their manifest.

    python datasets/lay_out.py image CLONES OUTPUT [FILES...]

CLONES holds the public repositories as git clones (bare or not) called owner+name, with the commits that the table names. A file is
taken at its commit and kept if its SHA-256 is that of the table. Some rows are cuts or re-encodings: these are looked for by their
digest in the folders FILES, FLAC by that of its 16-bit samples (ffmpeg reads them), and counted as missing otherwise. OUTPUT gets files/ and manifest.csv, whose names and order depend
on the table alone, since training draws its laundering from the names.
"""

import csv
import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

COLUMNS = ["path", "label", "group", "generator", "split", "repo"]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def from_clone(clone: Path, rows: list[dict]):
    """The rows with their bytes, `None` where there is no such file."""
    folder = next((f for f in (clone / ".git", clone / "repo" / ".git", clone / "repo", clone) if (f / "HEAD").exists()), None)
    if folder is None:
        yield from ((row, None) for row in rows)
        return
    command = ["git", f"--git-dir={folder}", "cat-file", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
        for row in rows:
            git.stdin.write(f"{row['commit']}:{row['repo_path']}\n".encode())
            git.stdin.flush()
            head = git.stdout.readline().split()
            data = None
            if len(head) == 3 and head[1] == b"blob":
                data = git.stdout.read(int(head[2]))
                git.stdout.read(1)
            yield row, data
        git.stdin.close()


def main() -> None:
    medium, clones, output, *folders = sys.argv[1:]
    output = Path(output)
    (output / "files").mkdir(parents=True, exist_ok=True)
    with open(Path(__file__).parent / "material" / f"{medium}.csv", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    known = {}
    for path in (p for folder in folders for p in sorted(Path(folder).rglob("*")) if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".flac":
            decode = ["ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-"]
            data = subprocess.run(decode, stdout=subprocess.PIPE, check=True).stdout
        known[digest(data)] = path
    by_repo = defaultdict(list)
    for row in rows:
        by_repo[row["repo"]].append(row)
    counts, written = Counter(), []
    for repo, of_repo in sorted(by_repo.items()):
        for row, data in from_clone(Path(clones) / repo.replace("/", "+"), of_repo):
            how, suffix = "taken from a clone", Path(row["repo_path"]).suffix
            if data is None or digest(data) != row["sha256"]:
                found = known.get(row["sha256"])
                if found is None:
                    counts["missing"] += 1
                    continue
                how, suffix, data = "found by their digest", found.suffix, found.read_bytes()
            counts[how] += 1
            row["path"] = f"files/{row['sha256'][:16]}{suffix}"
            (output / row["path"]).write_bytes(data)
            written.append(row)
    with open(output / "manifest.csv", "w", newline="", encoding="utf-8") as manifest:
        writer = csv.DictWriter(manifest, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(written)
    print(f"{output / 'manifest.csv'}:", ", ".join(f"{n} {how}" for how, n in counts.most_common()))


if __name__ == "__main__":
    main()
