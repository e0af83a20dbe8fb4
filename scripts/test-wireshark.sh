#!/usr/bin/env bash
# Feeds FIFO, TCP, standard input, files and extcap to the tshark of another Wireshark, and compares
# the fields that it shows with what was on the line.
#
#   scripts/test-wireshark.sh 4.4        3.4, 4.0, 4.4, 4.6, or Debian's release: bullseye,
#   scripts/test-wireshark.sh trixie     bookworm, trixie, sid
#   scripts/test-wireshark.sh here       the one that is installed, without root
#
# Each release takes a minute and 0.6 GB while it runs: a Debian of its own, of which only tshark is
# used. Needs root, debootstrap and Python. PROGRAM names another serialshark than the release build,
# MIRROR another source of Debian packages than this machine's own.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:?"name a version of Wireshark, a release of Debian, or here"} in
here) release= ;;
3.4 | bullseye) release=bullseye ;;
4.0 | bookworm) release=bookworm ;;
4.4 | trixie) release=trixie ;;
4.6 | sid) release=sid ;;
*)
    echo "$1: not one of 3.4, 4.0, 4.4, 4.6, bullseye, bookworm, trixie, sid, here" >&2
    exit 2
    ;;
esac
if [ -z "${PROGRAM:-}" ]; then
    cargo build --release --locked
    PROGRAM=target/release/serialshark
fi
PROGRAM=$(realpath "$PROGRAM")
[ -n "$release" ] || exec python3 -B tests/wireshark/judge.py "$PROGRAM"

root=$(mktemp -d)
chmod 755 "$root"
trap 'rm -rf --one-file-system "$root" "$root.log"' EXIT
install_tshark() {
    debootstrap --variant=minbase "$release" "$root" "${MIRROR:-$(scripts/mirror.sh bookworm)}"
    # Nothing is to be started there; and a mirror may be some days behind.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    chroot "$root" env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get update -qq -o Acquire::Check-Valid-Until=false && apt-get install -y -qq --no-install-recommends tshark'
}
install_tshark >"$root.log" 2>&1 </dev/null || { tail -n 40 "$root.log"; exit 1; }
# In a view of the file system of its own, whose mounts go with it.
export root PROGRAM
unshare --mount bash -euc '
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    python3 -B tests/wireshark/judge.py "$PROGRAM" "$root"
'
