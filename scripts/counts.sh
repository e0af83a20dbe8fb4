#!/usr/bin/env bash
# Counts instructions and system calls a frame, and holds them to the bounds in benches/counts.toml:
# some minutes, most of them for the build. Needs cargo, Python 3.11, valgrind and strace.
set -euo pipefail
cd "$(dirname "$0")/.."
# The program as it is shipped: CI has built it already.
cargo build --release --locked
# callgrind cannot run the system calls that rustix makes by itself through the vDSO; through libc
# the instructions are those of the program all the same. Without what a frame does not come by, for a
# shorter build.
CARGO_TARGET_DIR=target/counted-libc RUSTFLAGS='--cfg rustix_use_libc' \
    cargo build --release --locked --no-default-features
python3 benches/counts.py target/release/serialshark target/counted-libc/release/serialshark \
    benches/counts.toml
