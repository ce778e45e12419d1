#!/usr/bin/env bash
# wrk with 100 and 1,000 connections against the release http_server: no socket error, no answer
# but 2xx or 3xx, and some answers at all. Usage: ci/wrk.sh [SECONDS=5]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-5}
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || (($(ulimit -n) >= 4096)) || { echo "only $(ulimit -n) descriptors"; exit 1; }

cargo build --release --example http_server
out=$(mktemp)
"${CARGO_TARGET_DIR:-target}/release/examples/http_server" 127.0.0.1:0 >"$out" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$out"' EXIT

# It says which port it got.
address=
for _ in {1..100}; do
    address=$(grep -Eom1 '127\.0\.0\.1:[0-9]+' "$out" || true)
    [ -z "$address" ] || break
    sleep 0.1
done
[ -n "$address" ] || { echo "http_server did not say where it listens:"; cat "$out"; exit 1; }

fail() {
    echo "$1"
    echo "the server's output:"
    tail -n 20 "$out"
    exit 1
}
status=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 5 "http://$address/") || fail "curl failed"
[ "$status" = 200 ] || fail "curl: status $status"
for connections in 100 1000; do
    echo "-- wrk -t2 -c$connections -d${seconds}s"
    report=$(wrk -t2 "-c$connections" "-d${seconds}s" --latency "http://$address/" 2>&1) || fail "wrk failed: $report"
    echo "$report"
    ! grep -qE 'Socket errors|Non-2xx|unable to connect' <<<"$report" || fail "see above"
    grep -qE '^ *[1-9][0-9]* requests in' <<<"$report" || fail "no request was answered"
done
kill -0 "$server" 2>/dev/null || fail "the server has ended"
