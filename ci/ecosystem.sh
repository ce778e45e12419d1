#!/usr/bin/env bash
# The crates of others on top of layby (examples/ecosystem), against the real thing: OpenSSL, curl, a WebSocket client
# of Python's, SQLite's shell, and servers of PostgreSQL and Redis that the tests start, on free ports of the loopback in
# directories of their own, and end. The programs alone have no tests of their own: only `--test ecosystem` is built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A tool that is missing must fail here, not skip its test.
export CI=true
out=$(mktemp)
trap 'rm -f "$out"' EXIT
cargo test -p layby-ecosystem --test ecosystem 2>&1 | tee "$out"
# A run of no tests would make this a step that cannot fail.
grep -q '^test result: ok. [1-9]' "$out" || { echo "no test has run"; exit 1; }
