#!/usr/bin/env bash
# Runs `candor batch` against an S3-compatible server on loopback: moto, from PyPI, in a virtual environment of its own.
#
#   benches/batch/s3.sh [CANDOR]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
candor=${1:-$root/target/release/candor}
work=$(mktemp -d)
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
venv=${CANDOR_VENV:-$work/venv}
[ -x "$venv/bin/moto_server" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q 'moto[server,s3]' boto3; }
"$venv/bin/moto_server" -H 127.0.0.1 -p 5799 >"$work/moto.log" 2>&1 & server=$!
until curl -s -o /dev/null http://127.0.0.1:5799/; do sleep 0.2; done
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ENDPOINT_URL=http://127.0.0.1:5799 AWS_ALLOW_HTTP=true
"$venv/bin/python" - "$root/datasets/samples" <<'PY'
import os, sys, boto3
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5799")
s3.create_bucket(Bucket="uploads")
for name in sorted(os.listdir(sys.argv[1])):
    path = os.path.join(sys.argv[1], name)
    if os.path.isfile(path):
        s3.upload_file(path, "uploads", "in/" + name)
PY
cd "$work"
"$candor" batch s3://uploads/in/ -o s3.jsonl
"$candor" batch s3://uploads/in/ -o s3.jsonl
"$candor" batch "$root/datasets/samples" -o local.jsonl -q
labels() { grep -o '"path":"[^"]*"\|"sha256":"[0-9a-f]*","bytes"\|"label":"[^"]*"' "$1" | sed 's#"path":.*/#"path":"#'; }
if [ "$(labels s3.jsonl)" = "$(labels local.jsonl)" ]; then
    echo "ok      $(wc -l <s3.jsonl) objects, the same verdicts as the files"
else
    echo "FAILED  the verdicts differ from those of the files"
    exit 1
fi
"$candor" batch s3://uploads/in/missing.jpg s3://uploads/in/cat.jpg -o missing.jsonl || echo "status $?"
