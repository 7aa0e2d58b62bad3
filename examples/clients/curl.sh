#!/usr/bin/env bash
# Judges the files that are named with a running `candor serve` and prints a verdict a line.
#
#   CANDOR_URL=http://127.0.0.1:8720 CANDOR_KEY=candor_... examples/clients/curl.sh FILE...
set -euo pipefail
url=${CANDOR_URL:-http://127.0.0.1:8720}
for file in "$@"; do
    curl -sS --fail-with-body --retry 5 ${CANDOR_KEY:+-H "Authorization: Bearer $CANDOR_KEY"} \
        -H 'Content-Type: application/octet-stream' --url-query "name=$(basename "$file")" \
        --data-binary "@$file" "$url/v1/scan"
    echo
done
