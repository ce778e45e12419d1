#!/usr/bin/env bash
# What cancellation and timeouts do in a program built with `panic = "abort"`, where nothing can unwind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

said=$(timeout 60 cargo run --profile abort --example panic_abort)
echo "$said"
[[ $said == *"as documented"* ]] || { echo "the program has not come to its end"; exit 1; }
