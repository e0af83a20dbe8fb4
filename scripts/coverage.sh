#!/usr/bin/env bash
# Prints how much of each source file the tests run.
#
# Needs cargo install --locked cargo-llvm-cov, and LLVM's tools of the compiler's version:
# those of rustup's llvm-tools, or Debian's llvm-22. With --show-missing-lines it lists the rest:
#
# - the weak mode of a FIFO whose directory is someone else's: its test runs the program as nobody,
#   who may not write down what ran (src/output/fifo.rs, latch and lease in src/capture);
# - errors of system calls that fail only when memory or descriptors run out: epoll, eventfd, poll,
#   inotify, threads; EINTR where it is retried;
# - errors of drivers and networks that a pseudo-terminal and loopback do not have: a rate that is
#   refused or rounded, low latency, hosts that do not answer;
# - what a panic would lead to: the main thread's last words (src/capture/ending.rs);
# - methods that a trait asks for and nobody calls: commands to a file.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -d /usr/lib/llvm-22/bin ]; then
    export LLVM_COV=/usr/lib/llvm-22/bin/llvm-cov LLVM_PROFDATA=/usr/lib/llvm-22/bin/llvm-profdata
fi
cargo llvm-cov --no-report --ignore-run-fail -- --nocapture >/dev/null
cargo llvm-cov report "$@"
