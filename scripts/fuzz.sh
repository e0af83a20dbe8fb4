#!/usr/bin/env bash
# Runs each fuzz target for SECONDS, two at a time, from the corpus in fuzz/corpus; what they find
# there is kept in fuzz/found/TARGET, or fails with the input in fuzz/artifacts.
#
#   scripts/fuzz.sh 60              all targets
#   scripts/fuzz.sh 3600 mstp       one
#   scripts/fuzz.sh --shrink        takes what was found into the corpus, as few inputs as reach all
#
# Needs cargo install --locked cargo-fuzz. There is no sanitizer, which makes it four times as
# fast: the crate has no unsafe code but one ioctl; looked for are panics, hangs and broken contracts.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1 # what cargo-fuzz needs of a stable compiler

seconds=${1:?"SECONDS or --shrink"}
shift
mapfile -t targets < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else cargo fuzz list; fi)

cargo fuzz build --sanitizer none 2>&1

fuzz() {
    local target=$1 log=fuzz/found/$1.log
    mkdir -p "fuzz/found/$target" "fuzz/corpus/$target"
    if cargo fuzz run --sanitizer none "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
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
    mkdir -p "$corpus" "fuzz/found/$1" "$corpus.new"
    cargo fuzz run --sanitizer none "$1" "$corpus.new" "$corpus" "fuzz/found/$1" -- \
        -set_cover_merge=1 >"fuzz/found/$1.log" 2>&1
    rm -r "$corpus"
    mv "$corpus.new" "$corpus"
    echo "$1: $(find "$corpus" -type f | wc -l) inputs"
}

if [ "$seconds" = --shrink ]; then
    for target in "${targets[@]}"; do shrink "$target"; done
else
    export -f fuzz
    export seconds
    printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'fuzz {}'
fi
