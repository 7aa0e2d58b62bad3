"""Judges many files with Ray Data: each block of paths goes through one `candor scan`, tables come back as Arrow.

    pip install 'ray[data]' pyarrow
    python ray_scan.py FOLDER OUTPUT.parquet

With Spark it is the same function, see spark_scan.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import ray

CANDOR = os.environ.get("CANDOR", "candor")


def judge(paths: pa.Table) -> pa.Table:
    """Rows with path, label, confidence, llr, p_value and more for a table with the column path."""
    command = [CANDOR, "scan", "--quiet", "--jobs", "1", "--format", "arrow", *paths["path"].to_pylist()]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    # 3: at least one file could not be read, which its row says.
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{CANDOR} ended with status {done.returncode}")
    return pa.ipc.open_stream(done.stdout).read_all()


def main() -> None:
    folder, output = sys.argv[1:]
    paths = sorted(str(path.resolve()) for path in Path(folder).rglob("*") if path.is_file())
    verdicts = ray.data.from_items([{"path": path} for path in paths]).map_batches(
        judge, batch_format="pyarrow", batch_size=200
    )
    verdicts.write_parquet(output)
    for label, group in verdicts.groupby("label").count().to_pandas().itertuples(index=False):
        print(f"{group:8} {label}")


if __name__ == "__main__":
    main()
