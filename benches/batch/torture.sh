#!/usr/bin/env bash
# Mistreats `candor batch` and says whether every input still has exactly one result.
#
#   benches/batch/torture.sh [CANDOR] [kills|many|full|hostile|cost]...
#
# kills    2,000 mixed files; the batch is killed 20 times at random moments; the results must equal those of a quiet run
# many     100,000 small files: memory at 10,000 and at the end, rate, start-up when it is continued
# full     a full disk (a small tmpfs; needs root) and a read-only output
# hostile  broken files of several kinds among 500 good ones, and scanning processes that are killed and stopped
# cost     batch against the sum of single scans; overhead for a 1-kB text
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
candor=${1:-$root/target/release/candor}
shift || true
parts=${*:-kills many full hostile cost}
work=$(mktemp -d)
trap 'umount -q "$work/small" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

check() { if [ "$2" = "$3" ]; then echo "ok      $1: $2"; else echo "FAILED  $1: $2, expected $3"; failed=1; fi; }
failed=0

# Files that differ in content: samples with a line or a byte more.
mixed() { # folder, texts, pictures, recordings
    mkdir -p "$1"
    local text=$root/datasets/samples/baltimore.txt i
    for ((i = 0; i < $2; i++)); do { echo "Chapter $i."; cat "$text"; } >"$1/t$i.txt"; done
    for ((i = 0; i < $3; i++)); do { cat "$root/datasets/samples/cat.jpg"; printf '%06d' "$i"; } >"$1/p$i.jpg"; done
    local sound=("$root"/datasets/samples/*.flac "$root"/datasets/samples/*.wav "$root"/datasets/samples/*.mp3)
    for s in "${sound[@]}"; do [ -e "$s" ] && break; done
    for ((i = 0; i < $4; i++)); do { cat "$s"; printf '%06d' "$i"; } >"$1/a$i.${s##*.}"; done
}
plain() { sed -E 's/"elapsed_ms":[0-9.e-]+/"elapsed_ms":0/' "$1"; }
paths() { grep -o '^{"schema_version":"[^"]*","path":"[^"]*"' "$1"; }

kills() {
    mixed in 1800 120 80
    "$candor" batch in -o quiet.jsonl -q || true
    local seconds
    seconds=$(( $(date +%s) ))
    for ((k = 0; k < 20; k++)); do
        "$candor" batch in -o killed.jsonl -q & pid=$!
        sleep "$(awk -v seed="$RANDOM" 'BEGIN { srand(seed); print 0.2 + 2.5 * rand() }')"
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        # A torn last line, as a power cut leaves it.
        [ $((k % 4)) = 0 ] && printf '{"schema_version":"1","pa' >>killed.jsonl
        [ $((k % 5)) = 0 ] && printf '{"id":"in/t' >>killed.jsonl.state/journal.jsonl
    done
    "$candor" batch in -o killed.jsonl -q || true
    echo "20 kills took $(($(date +%s) - seconds)) s"
    check "results" "$(wc -l <killed.jsonl)" 2000
    check "different inputs" "$(paths killed.jsonl | sort -u | wc -l)" 2000
    check "same bytes but for the times" "$(plain killed.jsonl | sha256sum)" "$(plain quiet.jsonl | sha256sum)"
}

many() {
    mkdir many
    awk 'BEGIN { for (i = 0; i < 100000; i++) { f = "many/" i ".txt"; printf "Note %d: the train was late again.\n", i > f; close(f) } }'
    local t=/usr/bin/time
    $t -f "%M KiB, %e s" "$candor" batch many -o many.jsonl -q --max-files 10000 || true
    $t -f "%M KiB, %e s" "$candor" batch many -o many.jsonl -q || true
    check "results" "$(wc -l <many.jsonl)" 100000
    echo "continued with nothing to do:"
    $t -f "%M KiB, %e s" "$candor" batch many -o many.jsonl -q || true
}

full() {
    mixed some 300 0 0
    mkdir small
    mount -t tmpfs -o size=600k tmpfs small || { echo "no rights to mount: passed over"; return; }
    "$candor" batch some -o small/out.jsonl -q && status=0 || status=$?
    check "status on a full disk" $status 1
    mount -o remount,size=64m small
    "$candor" batch some -o small/out.jsonl -q && status=0 || status=$?
    check "status when there is room" $status 0
    check "results" "$(paths small/out.jsonl | sort -u | wc -l)" 300
    check "lines" "$(wc -l <small/out.jsonl)" 300
    mount -o remount,ro small
    "$candor" batch some -o small/other.jsonl -q && status=0 || status=$?
    check "status on a read-only disk" $status 1
}

hostile() {
    mixed good 500 0 0
    printf '\xff\xd8\xff\xe0garbage' >good/cut.jpg
    head -c 3000 "$root/datasets/samples/cat.jpg" >good/half.jpg
    printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\2\0\0\0' >good/huge.png
    printf 'RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0data\xff\xff\xff\xff' >good/none.wav
    head -c 100000 /dev/zero >good/zeros.bin
    : >good/empty
    "$candor" batch good -o hostile.jsonl -q --time-limit 10 & pid=$!
    sleep 1
    # One scanner dies, one hangs: the first is tried again, the second, too, after ten seconds.
    pkill -KILL -n -P $pid || true
    sleep 0.5
    pkill -STOP -n -P $pid || true
    wait $pid || true
    check "results" "$(wc -l <hostile.jsonl)" 506
    check "failures" "$(grep -c '"label":"error"' hostile.jsonl)" 5
}

cost() {
    mixed cost 1000 200 150
    echo "single files, one process each way of counting: sum of elapsed_ms of a scan on one thread"
    "$candor" scan -f jsonl --jobs 1 -q cost >single.jsonl
    local sum
    sum=$(grep -o '"elapsed_ms":[0-9.]*' single.jsonl | cut -d: -f2 | awk '{ s += $1 } END { print s / 1000 }')
    local begin end
    begin=$(date +%s.%N)
    "$candor" batch cost -o cost.jsonl -q --jobs 2
    end=$(date +%s.%N)
    awk -v s="$sum" -v t="$(echo "$end - $begin" | bc)" 'BEGIN { printf "sum %.2f s on one thread, batch on two %.2f s: %.2f of the ideal\n", s, t, s / 2 / t }'
    mkdir tiny
    awk 'BEGIN { for (i = 0; i < 5000; i++) { f = "tiny/" i ".txt"; for (j = 0; j < 30; j++) printf "Note %d: the train was late again.\n", i * 100 + j > f; close(f) } }'
    begin=$(date +%s.%N)
    "$candor" batch tiny -o tiny.jsonl -q --jobs 1
    end=$(date +%s.%N)
    sum=$(grep -o '"elapsed_ms":[0-9.]*' tiny.jsonl | cut -d: -f2 | awk '{ s += $1 } END { print s / 1000 }')
    awk -v s="$sum" -v t="$(echo "$end - $begin" | bc)" 'BEGIN { printf "5,000 texts of 1 kB: scans %.2f s, batch %.2f s, %.3f ms more for each\n", s, t, (t - s) / 5 }'
}

for part in $parts; do
    echo "== $part"
    $part
done
exit $failed
