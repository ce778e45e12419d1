#!/usr/bin/env bash
# Runs the stress tests (tests/stress.rs) again, each time with another seed.
# Usage: ci/loopcheck.sh [ROUNDS=3] [FIRST_SEED=from the clock]. LAYBY_SEED=… repeats a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-3}
first=${2:-$(date +%s)}
for ((seed = first; seed < first + rounds; seed++)); do
    echo "LAYBY_SEED=$seed"
    out=$(LAYBY_SEED=$seed cargo test --release --test stress 2>&1) || {
        echo "$out"
        echo "failed with: LAYBY_SEED=$seed cargo test --release --test stress"
        exit 1
    }
    # A run of no tests would make this a step that cannot fail.
    echo "$out" | grep '^test result: .* [1-9][0-9]* passed' || { echo "no test has run"; exit 1; }
done
