#!/usr/bin/env bash
# 10,000 connections at rest in the release http_server while `wrk -c100` works: no error, flat memory, and all of
# them still alive afterwards (tests/examples/http_idle.rs says what is flat). Usage: ci/idle.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release --example http_server
out=$(mktemp)
trap 'rm -f "$out"' EXIT
cargo test --release --test examples http_idle -- --ignored --nocapture 2>&1 | tee "$out"
# A run of no tests would make this a step that cannot fail.
grep -q '^test result: ok. [1-9]' "$out" || { echo "no test has run"; exit 1; }
