#!/usr/bin/env bash
# Reads declarations of photographs, beside exiftool and, where it is installed, c2patool, on the same files in one run.
#
#   benches/provenance.sh [CANDOR] [FILES]
#
# FILES (300 unless given) JPEGs of 1 to 3 MB with EXIF and XMP are made with ffmpeg and exiftool and read once before. One core.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
candor=${1:-$root/target/release/candor}
count=${2:-300}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ffmpeg -v error -f lavfi -i "mandelbrot=s=2400x1800:rate=1" -vf noise=alls=24:allf=t -frames:v 12 -q:v 3 "$work/base%02d.jpg"
exiftool -q -overwrite_original -Make=Maker -Model=Camera -ExposureTime=1/250 -GPSLatitude=48.1 -XMP-dc:Creator=Somebody \
    -XMP-photoshop:City=Paris -IPTC:Headline=Market "$work"/base*.jpg
mkdir "$work/files"
for ((i = 0; i < count; i++)); do cp "$work/base$(printf %02d $((i % 12 + 1))).jpg" "$work/files/$(printf %04d "$i").jpg"; done
cat "$work"/files/* >/dev/null
echo "$count files, $(du -sm "$work/files" | cut -f1) MB"
rate() {
    local name=$1 start
    shift
    start=$(date +%s.%N)
    taskset -c 0 "$@" >/dev/null
    awk -v n="$count" -v s="$start" -v e="$(date +%s.%N)" -v name="$name" 'BEGIN { printf "%-44s %8.0f files/s\n", name, n / (e - s) }'
}
for _ in 1 2 3; do
    rate "candor inspect --no-watermarks" "$candor" inspect -f json --no-watermarks "$work"/files/*.jpg
    rate "exiftool, one process" exiftool -q -json -a -G1 "$work"/files
done
rate "candor inspect, pixels decoded for watermarks" "$candor" inspect -f json "$work"/files/*.jpg
if command -v c2patool >/dev/null; then
    # It takes one file a call.
    # shellcheck disable=SC2016
    rate "c2patool, a process for each" bash -c 'for f in "$0"/*.jpg; do c2patool "$f" 2>/dev/null || true; done' "$work/files"
fi
