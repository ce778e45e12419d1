# Sourced by .ci/run: `step NAME COMMAND…` runs and times one step, `summary` adds up the tests.
# Everything a step prints is shown and kept, since the counts are read from it.

LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
STEP_LIMIT=${STEP_LIMIT:-600} # seconds; a step that hangs is a step that failed

step() {
    local name=$1 from=$SECONDS code=0
    shift
    printf '\n==== %s: %s\n' "$name" "$*"
    timeout --kill-after=10 "$STEP_LIMIT" "$@" 2>&1 | tee -a "$LOG" || code=$?
    if ((code != 0)); then
        ((code != 124)) || printf 'no end after %s s\n' "$STEP_LIMIT"
        printf '==== FAILED after %s s: %s (exit code %s)\n' $((SECONDS - from)) "$name" "$code"
        summary
        exit 1
    fi
    printf '==== %s s: %s\n' $((SECONDS - from)) "$name"
}

# The last line, from cargo test's "test result: ok. 3 passed; 0 failed; …".
summary() {
    printf '\n%s s in all\n' "$SECONDS"
    awk '/^test result: / { passed += $4; failed += $6 }
         END { printf "%d passed, %d failed\n", passed, failed }' "$LOG"
}
