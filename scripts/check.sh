#!/usr/bin/env bash
# What a change has to pass as far as it goes without root: some five minutes, most of them for
# compiling. What is not installed is left out, and said at the end. All of it is in .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."

left_out=()
has() {
    for tool in "$@"; do
        if ! command -v "$tool" >/dev/null; then
            left_out+=("$tool is not installed: no $what")
            return 1
        fi
    done
}
step() {
    printf '\n--- %s\n' "$what"
    "$@"
}

what='formatting'
step cargo fmt --check
step cargo fmt --check --manifest-path fuzz/Cargo.toml
what='lints'
step cargo clippy --locked --all-targets -- -D warnings
what='documentation'
RUSTDOCFLAGS='-D warnings' step cargo doc --locked --no-deps --document-private-items
what='licences and sources of what is built in'
if has cargo-deny; then step cargo deny --locked check licenses bans sources; fi

what='tests, the quick tier'
SERIALSHARK_SKIPPED=$(mktemp)
export SERIALSHARK_SKIPPED
trap 'rm -f "$SERIALSHARK_SKIPPED"' EXIT
step cargo test --locked --no-fail-fast

what='fields in the tshark that is installed'
if has tshark python3; then step scripts/test-wireshark.sh here; fi
what='counts of instructions and system calls'
if has valgrind strace python3; then step scripts/counts.sh; fi
what='fuzzing, five seconds a target'
if has cargo-fuzz; then step scripts/fuzz.sh 5; fi

printf '\n--- passed\n'
sort -u "$SERIALSHARK_SKIPPED"
if [ ${#left_out[@]} -gt 0 ]; then printf 'LEFT OUT: %s\n' "${left_out[@]}"; fi
