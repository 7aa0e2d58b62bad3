#!/usr/bin/env bash
# Runs `candor batch` against servers of object stores on loopback, each from its registry, in folders of their own.
#
#   benches/batch/stores.sh [CANDOR] [s3|gs|az]...
#
# s3  moto, from PyPI
# gs  moto, too: no registry has an emulator of Google's XML interface, which lists and reads as that of S3 does. Google's keys are
#     not tried by this.
# az  Azurite, from npm
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
candor=$(realpath "${1:-$root/target/release/candor}")
shift || true
parts=${*:-s3 gs az}
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
wait_for() { until curl -s -o /dev/null "$1"; do sleep 0.2; done; }
labels() { grep -o '"path":"[^"]*"\|"sha256":"[0-9a-f]*","bytes"\|"label":"[^"]*"' "$1" | sed 's#"path":.*/#"path":"#'; }
"$candor" batch "$root/datasets/samples" -o local.jsonl -q
judge() { # name, address
    "$candor" batch "$2" -o "$1.jsonl" -q
    "$candor" batch "$2" -o "$1.jsonl" -q
    if [ "$(labels "$1.jsonl")" = "$(labels local.jsonl)" ]; then
        echo "ok      $1: $(wc -l <"$1.jsonl") objects, the same verdicts as the files"
    else
        echo "FAILED  $1: the verdicts differ from those of the files"
        exit 1
    fi
    "$candor" batch "${2}missing.jpg" -o "$1-missing.jsonl" -q && echo "FAILED  $1: what is missing was no mistake" && exit 1
    kill "$server"
    # Its port is free once it has gone.
    wait "$server" 2>/dev/null || true
}

for part in $parts; do
    case $part in
    s3 | gs)
        venv/bin/pip install -q 'moto[server,s3]' boto3
        venv/bin/moto_server -H 127.0.0.1 -p 5799 >s3.log 2>&1 & server=$!
        wait_for http://127.0.0.1:5799/
        export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
        export AWS_ENDPOINT_URL=http://127.0.0.1:5799 AWS_ALLOW_HTTP=true
        venv/bin/python - "$root/datasets/samples" <<'PY'
import os, sys, boto3
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5799")
s3.create_bucket(Bucket="uploads")
for name in os.listdir(sys.argv[1]):
    # Without keys, as gs:// asks below, only what is public is read.
    s3.upload_file(os.path.join(sys.argv[1], name), "uploads", "in/" + name, ExtraArgs={"ACL": "public-read"})
PY
        export GOOGLE_BASE_URL=http://127.0.0.1:5799 GOOGLE_SKIP_SIGNATURE=true GOOGLE_ALLOW_HTTP=true
        judge "$part" "$part://uploads/in/"
        ;;
    az)
        npm install --silent --prefix node azurite >/dev/null
        node/node_modules/.bin/azurite-blob --silent --inMemoryPersistence --skipApiVersionCheck --blobPort 10000 >az.log 2>&1 & server=$!
        wait_for http://127.0.0.1:10000/
        venv/bin/pip install -q azure-storage-blob
        venv/bin/python - "$root/datasets/samples" <<'PY'
import os, sys
from azure.storage.blob import BlobServiceClient
# The account that every Azurite has.
key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
service = BlobServiceClient("http://127.0.0.1:10000/devstoreaccount1", credential=key)
container = service.create_container("uploads")
for name in os.listdir(sys.argv[1]):
    with open(os.path.join(sys.argv[1], name), "rb") as file:
        container.upload_blob("in/" + name, file)
PY
        export AZURE_STORAGE_USE_EMULATOR=true
        judge az az://uploads/in/
        ;;
    esac
done
