#!/usr/bin/env bash
# Runs each fuzz target for SECONDS, two at a time, from the corpus in fuzz/corpus/TARGET.tar.gz;
# what they find is kept in fuzz/found/TARGET, or fails with the input in fuzz/artifacts.
#
#   scripts/fuzz.sh 60              all targets: each protocol, extcap, recording, capture
#   scripts/fuzz.sh 3600 mstp       one
#   scripts/fuzz.sh --shrink        takes what was found into the corpus, as few inputs as reach all
#   scripts/fuzz.sh --unpack        puts the corpus where cargo fuzz looks for it: fuzz/corpus/TARGET
#
# Needs cargo install --locked cargo-fuzz. There is no sanitizer, which makes it four times as
# fast: the crate has no unsafe code but one ioctl; looked for are panics, hangs and broken contracts.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1 # what cargo-fuzz needs of a stable compiler

seconds=${1:?"SECONDS, --shrink or --unpack"}
shift
# The protocols are those of the program.
names() {
    cargo run --quiet --locked -- protocols --json | python3 -c '
import json, sys
for row in json.load(sys.stdin): print(row["name"])'
    printf '%s\n' extcap recording capture
}
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else names; fi)
[ ${#targets[@]} -gt 0 ]

# Runs a target; all protocols are one program, which is told which of them.
run() {
    local target=$1 bin=framing
    shift
    case $target in extcap | recording | capture) bin=$target ;; esac
    FRAMING=$target cargo fuzz run --sanitizer none "$bin" "$@"
}

# What is in the archive, and nothing else.
unpack() {
    rm -rf "fuzz/corpus/$1"
    mkdir -p "fuzz/found/$1" "fuzz/corpus/$1"
    if [ -e "fuzz/corpus/$1.tar.gz" ]; then tar -xzf "fuzz/corpus/$1.tar.gz" -C fuzz/corpus; fi
}

# The same octets for the same inputs.
pack() {
    tar -c --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
        --mode=a=rX,u+w -C fuzz/corpus "$1" | gzip -9n >"fuzz/corpus/$1.tar.gz"
}

for target in "${targets[@]}"; do unpack "$target"; done
if [ "$seconds" = --unpack ]; then exit; fi

cargo fuzz build --sanitizer none 2>&1

fuzz() {
    local target=$1 log=fuzz/found/$1.log
    if run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=60 -rss_limit_mb=1024 >"$log" 2>&1; then
        echo "$target: $(tail -n 1 "$log")"
    else
        tail -n 40 "$log" >&2
        echo "$target: FAILED" >&2
        return 1
    fi
}

shrink() {
    local corpus=fuzz/corpus/$1
    mkdir -p "$corpus.new"
    run "$1" "$corpus.new" "$corpus" "fuzz/found/$1" -- \
        -set_cover_merge=1 >"fuzz/found/$1.log" 2>&1
    rm -r "$corpus"
    mv "$corpus.new" "$corpus"
    pack "$1"
    echo "$1: $(find "$corpus" -type f | wc -l) inputs"
}

if [ "$seconds" = --shrink ]; then
    for target in "${targets[@]}"; do shrink "$target"; done
else
    export -f run fuzz
    export seconds
    printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'fuzz {}'
fi
