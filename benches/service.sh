#!/usr/bin/env bash
# Loads `candor serve` on loopback and says how it holds up.
#
#   benches/service.sh [CANDOR] [SECONDS]
#
# 64 connections send pictures of about 100 kB for SECONDS (60 unless given) with wrk (Debian: wrk); then 10,000 connections send half a request each while /healthz is asked.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
candor=${1:-$root/target/release/candor}
seconds=${2:-60}
work=$(mktemp -d)
ulimit -n "$(ulimit -Hn)"
"$candor" serve --listen 127.0.0.1:0 -q >"$work/out" & pid=$!
trap 'kill $pid 2>/dev/null || true; rm -rf "$work"' EXIT
until grep -q http "$work/out"; do sleep 0.1; done
url=$(sed 's/.*\(http[^ ]*\)$/\1/' "$work/out")
memory() { awk '/VmRSS/ { print int($2 / 1024) " MiB" }' /proc/$pid/status; }
picture=$root/datasets/samples/fish.jpg
echo "picture of $(stat -c %s "$picture") bytes; memory before: $(memory)"
cat >"$work/post.lua" <<LUA
local file = io.open("$picture", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
local counts = {}
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() statuses = {}; accepted = {} end
function response(status) statuses[status] = (statuses[status] or 0) + 1 end
function done(summary)
    for _, thread in ipairs(threads) do
        for status, n in pairs(thread:get("statuses")) do counts[status] = (counts[status] or 0) + n end
    end
    for status, n in pairs(counts) do io.write("status ", status, ": ", n, "\n") end
    local e = summary.errors
    io.write("errors: connect ", e.connect, ", read ", e.read, ", write ", e.write, ", timeout ", e.timeout, "\n")
end
LUA
(sleep $((seconds / 2)) && echo "memory halfway: $(memory)") &
wrk -t 1 -c 64 -d "${seconds}s" --timeout 130s -s "$work/post.lua" "${url}v1/scan?name=a.jpg" | grep -E 'status|errors|Requests/sec'
curl -s "${url}metrics" | awk '/scan_seconds_bucket/ { split($1, p, "\""); b[++n] = p[2]; c[n] = $2 } /scan_seconds_count/ { all = $2 }
    END { for (q = 50; q <= 99; q += 49) for (i = 1; i <= n; i++) if (c[i] >= all * q / 100) { print "accepted: p" q " up to " b[i] " s"; break } }'
echo "memory after: $(memory)"
echo "10,000 slow connections:"
python3 - "$url" <<'PY' || echo "python3 is needed for this part"
import socket, sys, time, urllib.request
url = sys.argv[1]
host, port = url.split("//")[1].strip("/").split(":")
open_ = []
for i in range(10000):
    try:
        s = socket.create_connection((host, int(port)), timeout=5)
        s.sendall(b"GET /healthz HTTP/1.1\r\nhost: local")
        open_.append(s)
    except OSError as e:
        print("after", len(open_), "connections:", e)
        break
times = []
for _ in range(20):
    t = time.time()
    urllib.request.urlopen(url + "healthz", timeout=10).read()
    times.append(time.time() - t)
    time.sleep(0.1)
print(len(open_), "slow connections; /healthz answers in", round(1000 * max(times), 1), "ms at most")
PY
