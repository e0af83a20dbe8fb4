#!/usr/bin/env bash
# Counts instructions and system calls a frame, and holds them to the bounds in benches/counts.toml:
# some minutes, most of them for the build. Needs cargo, Python 3.11, valgrind and strace.
set -euo pipefail
cd "$(dirname "$0")/.."
# Without what a frame does not come by, for a shorter build.
build() {
    CARGO_TARGET_DIR=$1 cargo build --release --locked --no-default-features
}
build target/counted
# callgrind cannot run the system calls that rustix makes by itself through the vDSO; through libc
# the instructions are those of the program all the same.
RUSTFLAGS='--cfg rustix_use_libc' build target/counted-libc
python3 benches/counts.py target/counted/release/serialshark \
    target/counted-libc/release/serialshark \
    benches/counts.toml
