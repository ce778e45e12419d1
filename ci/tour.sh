#!/usr/bin/env bash
# The tour as a newcomer runs it: it ends well in under 15 s, and its piped output is clean.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit=15
cargo build --release --examples
out=$(mktemp)
trap 'rm -f "$out"' EXIT
from=$(date +%s%N)
cargo run --release --example tour >"$out"
took=$((($(date +%s%N) - from) / 1000000))
cat "$out"
[ -s "$out" ] || { echo "the tour printed nothing"; exit 1; }
if grep -q $'[\x1b\r]' "$out"; then
    echo "piped, the tour's output has escape sequences or carriage returns in it"
    exit 1
fi
echo "the tour took $took ms"
((took < limit * 1000)) || { echo "that is not under $limit s"; exit 1; }
