#!/usr/bin/env bash
# The table of benches/README.md, measured on this machine: some ten minutes on a quiet one.
# Needs cargo, a C compiler and Python 3.11. RUNS sets how often each is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
out=target/figures
mkdir -p "$out"
cargo build --release --locked
cc -O2 -o "$out/floor" benches/line/floor.c
cc -O2 -pthread -o "$out/model" benches/line/model.c
python3 benches/line/sharkbench.py benches/line/programs.toml --runs "${RUNS:-5}" \
    --quiet-wait 20 --json "$out/line.json" >"$out/line.md"
python3 -B benches/line/abreast.py "$out/floor" "$out/model" target/release/serialshark "$out/abreast.json"
python3 benches/line/scaling.py target/release/serialshark "$out/scaling.json"
python3 benches/line/table.py "$out/line.json" "$out/abreast.json" "$out/scaling.json" | tee "$out/table.md"
