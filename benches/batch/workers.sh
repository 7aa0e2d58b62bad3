#!/usr/bin/env bash
# Workers on a real queue: how they scale, and whether every job has one result when they are killed.
#
#   benches/batch/workers.sh [CANDOR] [scale|kills]...
#
# scale  the same jobs with one worker and with two, of one scanner each
# kills  5,000 jobs and 3 workers: one is killed every 3 s and started again, nats-server is killed once; 5 jobs name nothing
#
# Takes nats-server (Debian: nats-server).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
candor=${1:-$root/target/release/candor}
shift || true
parts=${*:-scale kills}
work=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
export CANDOR_NATS=nats://127.0.0.1:$port PATH=$PATH:/usr/sbin
server=
pids=()
trap 'kill -9 $server ${pids[@]:-} 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
nats() { nats-server -js -a 127.0.0.1 -p "$port" --store_dir "$work/nats" >/dev/null 2>&1 & server=$!; sleep 1; }
worker() { "$candor" worker --jobs 1 --allow file:// "$@" >/dev/null 2>&1 & }
left() { "$candor" queue status -f json | grep -o '"jobs":{[^}]*}' | grep -o '"messages":[0-9]*' | cut -d: -f2; }
files() { # folder, texts, pictures
    mkdir -p "$1"
    local i
    for ((i = 0; i < $2; i++)); do { echo "Chapter $i."; cat "$root/datasets/samples/baltimore.txt"; } >"$1/t$i.txt"; done
    for ((i = 0; i < $3; i++)); do { cat "$root/datasets/samples/cat.jpg"; printf '%06d' "$i"; } >"$1/p$i.jpg"; done
}
nats

if [[ " $parts " == *" scale "* ]]; then
    files scale 2400 240
    for workers in 1 2 1 2; do
        export CANDOR_PREFIX=scale$RANDOM
        "$candor" enqueue scale >/dev/null
        start=$(date +%s.%N)
        pids=()
        for ((i = 0; i < workers; i++)); do worker --exit-when-empty; pids+=($!); done
        # Until nothing is left: a worker looks for more every 2 s before it leaves.
        until [ "$(left)" = 0 ]; do sleep 0.5; done
        awk -v s="$start" -v e="$(date +%s.%N)" -v n="$workers" 'BEGIN { printf "%d worker(s): %.1f s, %.1f jobs/s\n", n, e - s, 2640 / (e - s) }'
        wait "${pids[@]}"
    done
fi

if [[ " $parts " == *" kills "* ]]; then
    export CANDOR_PREFIX=kills
    files kills 5000 0
    "$candor" enqueue kills
    "$candor" enqueue http://127.0.0.1:9/{1..5}
    pids=()
    for i in 0 1 2; do worker --max-deliver 3; pids+=($!); done
    round=0 killed=0
    until [ "$(left)" = 0 ]; do
        sleep 3
        round=$((round + 1)) victim=$((RANDOM % 3))
        kill -9 "${pids[$victim]}" && killed=$((killed + 1))
        worker --max-deliver 3
        pids[victim]=$!
        if [ $round = 4 ]; then kill -9 "$server"; sleep 1; nats; fi
        if [ $round -gt 400 ]; then echo "FAILED  jobs are left: $(left)"; exit 1; fi
    done
    "$candor" results -o results.jsonl 2>/dev/null
    total=$(wc -l <results.jsonl)
    single=$(grep -o '"uri":"[^"]*"' results.jsonl | sort -u | wc -l)
    dead=$("$candor" queue status -f json | grep -o '"dead":{[^}]*}' | grep -o '"messages":[0-9]*' | cut -d: -f2)
    echo "$killed workers killed, the server once: $total results, $single of different jobs, $dead dead"
    [ "$total $single $dead" = "5000 5000 5" ] || { echo FAILED; exit 1; }
fi
