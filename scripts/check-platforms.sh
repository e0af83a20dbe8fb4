#!/usr/bin/env bash
# Whether library and program compile for Windows and for macOS; nothing is linked, so no SDK is
# needed. A minute for each. Needs root once, for the standard library's source, and dlltool of
# gcc-mingw-w64-x86-64.
#
#   scripts/check-platforms.sh                       both
#   scripts/check-platforms.sh x86_64-apple-darwin   one: scripts/test-windows.sh builds the other
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/rust-src.sh
# -Zbuild-std on a stable compiler.
export RUSTC_BOOTSTRAP=1
[ $# -gt 0 ] || set -- x86_64-pc-windows-gnu x86_64-apple-darwin
for target in "$@"; do
    cargo check --locked --lib --bins --target "$target" -Zbuild-std=std,panic_abort
done
