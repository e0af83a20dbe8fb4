#!/usr/bin/env bash
# Runs the README's test command as an ordinary user, on a copy of what is committed or changed here:
# no root, and nothing of root's on the PATH but the compiler; at the end it lists the tests that were
# skipped. Needs root, to become somebody else.
#
#   scripts/test-as-user.sh               the test command of the README
#   scripts/test-as-user.sh COMMAND...    another one
#   scripts/test-as-user.sh --bare ...    where neither tshark nor any other of the tests' tools is
set -euo pipefail
cd "$(dirname "$0")/.."
bare=
if [ "${1:-}" = --bare ]; then
    bare=yes
    shift
fi
command=${*:-$(sed -n 's/^    \(cargo test.*\)$/\1/p' README.md | head -n 1)}
[ -n "$command" ]

home=$(mktemp -d)
export home
trap 'rm -rf "$home"' EXIT
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$home"
cp -r "${CARGO_HOME:-$HOME/.cargo}/registry" "$home/registry"
cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$home/" 2>/dev/null || true
chown -R nobody: "$home"

path=/usr/local/bin:/usr/bin:/bin
if [ "$bare" ]; then
    # All commands but those of the packages that .ci/run installs for the tests.
    path=$home/commands
    mkdir "$path"
    ln -s /usr/bin/* "$path"
    { dpkg -L tshark wireshark wireshark-common xvfb xdotool faketime strace openssh-client ser2net \
        socat ncat mandoc zsh fish qemu-system-x86 valgrind debootstrap 2>/dev/null || true; } |
        { grep ^/usr/bin/ || true; } | while read -r file; do rm -f "$path/${file##*/}"; done
fi
export path

# The compiler may be in root's home, where nobody else can look: it is put where all can.
toolchain=$(rustc --print sysroot)
export toolchain
# In a file system view of its own, which goes with it.
code=0
unshare --mount bash -euc '
    mkdir "$home/toolchain"
    mount --bind "$toolchain" "$home/toolchain"
    cd "$home"
    exec setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups \
        env -i HOME="$home" CARGO_HOME="$home" USER=nobody LANG=C.UTF-8 SERIALSHARK_SKIPPED="$home/skipped" \
            PATH="$home/toolchain/bin:$path" bash -c "$1"
' - "$command" || code=$?
if [ -s "$home/skipped" ]; then
    printf '\nWhat an ordinary user did not try:\n'
    sort -u "$home/skipped"
fi
exit "$code"
