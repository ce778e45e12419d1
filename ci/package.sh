#!/usr/bin/env bash
# What would be published has what it needs and no more, and builds by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

list=$(cargo package -p layby --allow-dirty --list)
echo "$list"
for file in Cargo.toml README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE src/lib.rs examples/tour.rs; do
    grep -qx "$file" <<<"$list" || { echo "$file is missing in the package"; exit 1; }
done
if grep -E '^(target|benches|\.ci|ci)/' <<<"$list"; then
    echo "the above should not be in the package"
    exit 1
fi
# Everything but the upload. (`cargo publish --dry-run` would ask the registry as well.)
cargo package -p layby --allow-dirty --offline
