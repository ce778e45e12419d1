#!/usr/bin/env bash
# Makes sure that the tools and servers which steps and tests use, the other target's std and rustup's components are
# there; installs all but the last where missing.
set -euo pipefail

missing=()
# PACKAGE:COMMAND, where the command has another name.
for tool in wrk curl valgrind python3 openssl sqlite3 pkg-config redis-server redis-tools:redis-cli postgresql-client:psql; do
    command -v "${tool#*:}" >/dev/null || missing+=("${tool%%:*}")
done
# What is no command in the PATH.
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
pkg-config --exists sqlite3 2>/dev/null || missing+=(libsqlite3-dev)
# Into the system's Python, whichever comes first in the PATH.
/usr/bin/python3 -c "import websocket" 2>/dev/null || missing+=(python3-websocket)
if ((${#missing[@]})); then
    root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || { echo "please install ${missing[*]}: neither root nor sudo here"; exit 1; }
        root=(sudo -n)
    fi
    command -v apt-get >/dev/null || { echo "please install ${missing[*]}: no apt-get here"; exit 1; }
    "${root[@]}" apt-get update -q
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
fi

cargo --version || { echo "no cargo: install Rust by rustup, see https://rustup.rs"; exit 1; }
for component in fmt clippy; do
    cargo "$component" --version || { echo "please run: rustup component add rustfmt clippy"; exit 1; }
done
other=aarch64-unknown-linux-gnu
if ! ls "$(rustc --print sysroot)/lib/rustlib/$other" >/dev/null 2>&1; then
    command -v rustup >/dev/null || { echo "please install Rust's target $other: no rustup here"; exit 1; }
    rustup target add "$other"
fi
echo "$(nproc) CPUs, Linux $(uname -r), vm.max_map_count $(cat /proc/sys/vm/max_map_count)"
