#!/usr/bin/env bash
# The library alone, its dependencies with it, builds from nothing in under 20 s with 2 jobs.
# Usage: ci/build-time.sh [LIMIT_IN_SECONDS=20]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit=${1:-20}
cargo fetch --locked
CARGO_TARGET_DIR=$(mktemp -d)
export CARGO_TARGET_DIR
trap 'rm -rf "$CARGO_TARGET_DIR"' EXIT
for profile in dev release; do
    from=$(date +%s%N)
    cargo build -p layby --lib --profile "$profile" --jobs 2 --offline --locked
    took=$((($(date +%s%N) - from) / 1000000))
    echo "profile $profile: built in $took ms"
    ((took < limit * 1000)) || { echo "that is not under $limit s"; exit 1; }
done
