#!/usr/bin/env bash
# AddressSanitizer over the tests of scopes: what children borrow from the heap, and what they share with their parent there (the
# block, the cells of tasks), is not touched when it has been freed. Of the crates only layby is built with it, and its tests.
# On stable, by RUSTC_BOOTSTRAP: it is a check, nothing that is shipped.
# Not what lies on stacks: an unwinding leaves marks there that ASan can only take off of stacks that it knows, and a task's are not, so
# they would be taken for errors when the stack is used again. (The parent's frame is the loom models': `src/scope/loom.rs`.)
# Nor leaks: stacks and the workers' shared parts are kept on purpose.
# Seen to fail: with children that do not count their block (heap-use-after-free, in the block).
# Usage: ci/asan.sh [FILTER…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export RUSTC_BOOTSTRAP=1 ASAN_OPTIONS=detect_leaks=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
filters=("$@")
((${#filters[@]} > 0)) || filters=(scope:: gather_cancel:: race::)
flags='["-Zsanitizer=address", "-Cllvm-args=-asan-stack=0"]'
out=$(mktemp)
trap 'rm -f "$out"' EXIT
timeout --kill-after=10 300 cargo test -p layby --test cancel -Zprofile-rustflags \
    --target-dir "${CARGO_TARGET_DIR:-target}/asan" --config "profile.dev.package.layby.rustflags=$flags" \
    -- "${filters[@]}" 2>&1 | tee "$out"
program=$(sed -n 's/.*Running.*(\(.*\))/\1/p' "$out")
grep -q __asan_init <(nm "$program") || { echo "built without AddressSanitizer"; exit 1; }
