#!/usr/bin/env bash
# Prints how much of each source file the tests run.
#
# Needs cargo install --locked cargo-llvm-cov, and LLVM's tools of the compiler's version:
# those of rustup's llvm-tools, or Debian's llvm-22.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -d /usr/lib/llvm-22/bin ]; then
    export LLVM_COV=/usr/lib/llvm-22/bin/llvm-cov LLVM_PROFDATA=/usr/lib/llvm-22/bin/llvm-profdata
fi
cargo llvm-cov --no-report --ignore-run-fail -- --nocapture >/dev/null
cargo llvm-cov report "$@"
