#!/usr/bin/env bash
# The protocols' loom models (src/**/loom.rs): their real code, in every order of its steps up to a number of
# preemptions. Prints how many orders that were, and the models' number.
# Usage: ci/loom.sh            all models
#        ci/loom.sh planted [MODEL]    plants the bugs of ci/loom-planted.sh, one by one: each must make its
#                              model fail. With MODEL, only those for models whose names contain it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Flags of its own, so a target directory of its own: the other steps' builds stay.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/loom
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
limit=180

if [ "${1:-}" = planted ]; then
    only=${2:-}
    source ci/loom-planted.sh
    exit
fi

cargo clippy --release --all-targets -p layby -- -D warnings
cargo test --release --lib -p layby --no-run
out=$(mktemp)
trap 'rm -f "$out"' EXIT
timeout --kill-after=10 $limit cargo test --release --lib -p layby loom -- --nocapture 2>&1 | tee "$out"
models=$(grep -c '^loom: ' "$out")
written=$(grep -rhc '^ *check("' src --include=loom.rs | paste -sd+ | bc)
echo "$models loom models, of $written"
((models == written && models > 0)) || { echo "some models did not run"; exit 1; }
