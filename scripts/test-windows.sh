#!/usr/bin/env bash
# Builds the program for Windows, and tries it under Wine: COM5 on a pseudo-terminal, named pipes, TCP,
# files, Ctrl-C, a service, stand-ins for Wireshark. Installs what it needs (root, Debian 12).
#
#   scripts/test-windows.sh          all
#   scripts/test-windows.sh quick    a part of it, in less than half the time
set -euo pipefail
cd "$(dirname "$0")/.."

export DEBIAN_FRONTEND=noninteractive
for tool in x86_64-w64-mingw32-gcc /usr/lib/wine/wine64 tshark mosquitto mosquitto_sub curl python3; do
    command -v "$tool" >/dev/null && continue
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends gcc-mingw-w64-x86-64-win32 wine64 wine \
        tshark mosquitto mosquitto-clients curl python3 >/dev/null
    break
done
scripts/rust-src.sh
# -Zbuild-std on a stable compiler. What debuggers need would be stripped.
RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=0 cargo build --quiet --locked --bin serialshark \
    --target x86_64-pc-windows-gnu -Zbuild-std=std,panic_unwind
cargo build --quiet --locked --bin serialshark
echo "windows: built after $SECONDS s"

place=$(mktemp -d)
# Names of files have letters beyond ASCII.
export LC_ALL=C.UTF-8
export WINEPREFIX=$place/prefix WINEDEBUG=-all WINE64=/usr/lib/wine/wine64
finish() {
    /usr/lib/wine/wineserver64 -k >/dev/null 2>&1 || true
    rm -rf "$place"
}
trap finish EXIT
mkdir "$place/run"
x86_64-w64-mingw32-strip -o "$place/run/serialshark.exe" \
    target/x86_64-pc-windows-gnu/debug/serialshark.exe
x86_64-w64-mingw32-gcc -O -s -o "$place/run/read_pipe.exe" tests/windows/read_pipe.c
x86_64-w64-mingw32-gcc -O -s -municode -o "$place/run/wireshark.exe" tests/windows/wireshark.c
# The registry is read when the server of Wine starts, which then stays to the end.
"$WINE64" reg add 'HKLM\Software\Wine\Ports' /v COM5 /t REG_SZ /d "$place/run/com5" /f \
    >/dev/null 2>&1
/usr/lib/wine/wineserver64 -k >/dev/null 2>&1 || true
/usr/lib/wine/wineserver64 -p >/dev/null 2>&1
x86_64-w64-mingw32-gcc -shared -s -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" \
    tests/windows/prng.c -ladvapi32
timeout 300 python3 -B tests/windows/judge.py "$place/run" "$PWD/target/debug/serialshark" "$@"
echo "windows: all told $SECONDS s"
