"""Judges many files with Spark: each partition of paths goes through `candor scan`, tables come back as Arrow.

    pip install pyspark pyarrow pandas
    spark-submit spark_scan.py FOLDER OUTPUT.parquet

The folder and the program named by CANDOR must be there on every worker; with Ray it is the same function, see ray_scan.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

CANDOR = os.environ.get("CANDOR", "candor")
# Paths for one `candor scan`.
BLOCK = 200
# The columns of `candor scan --format arrow`.
SCHEMA = (
    "path string, label string, action string, confidence double, llr double, p_value double, prior double, kind string, "
    "format string, bytes bigint, sha256 string, reason string, abstention string, error_code string, error string, "
    "version string, verdict string"
)


def judge(batches):
    """Batches with the columns of SCHEMA for batches with the column path."""
    for batch in batches:
        paths = batch.column("path").to_pylist()
        for start in range(0, len(paths), BLOCK):
            command = [CANDOR, "scan", "--quiet", "--jobs", "1", "--format", "arrow", *paths[start : start + BLOCK]]
            done = subprocess.run(command, stdout=subprocess.PIPE)
            # 3: at least one file could not be read, which its row says.
            if done.returncode not in (0, 3):
                raise RuntimeError(f"{CANDOR} ended with status {done.returncode}")
            yield from pa.ipc.open_stream(done.stdout)


def main() -> None:
    folder, output = sys.argv[1:]
    spark = SparkSession.builder.appName("candor").getOrCreate()
    paths = sorted(str(path.resolve()) for path in Path(folder).rglob("*") if path.is_file())
    table = spark.createDataFrame([(path,) for path in paths], "path string")
    cores = spark.sparkContext.defaultParallelism
    table.repartition(4 * cores).mapInArrow(judge, SCHEMA).write.mode("overwrite").parquet(output)
    spark.read.parquet(output).groupBy("label").count().orderBy("label").show()


if __name__ == "__main__":
    main()
