#!/usr/bin/env bash
# Runs the README's test command as an ordinary user, on a copy of what is committed or changed here:
# no root, and nothing on the PATH but what a fresh machine has and the compiler. Needs root, to
# become somebody else.
#
#   scripts/test-as-user.sh               the test command of the README
#   scripts/test-as-user.sh COMMAND...    another one
set -euo pipefail
cd "$(dirname "$0")/.."
command=${*:-$(sed -n 's/^    \(cargo test.*\)$/\1/p' README.md | head -n 1)}
[ -n "$command" ]

home=$(mktemp -d)
export home
trap 'rm -rf "$home"' EXIT
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$home"
cp -r "${CARGO_HOME:-$HOME/.cargo}/registry" "$home/registry"
cp "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$home/" 2>/dev/null || true
chown -R nobody: "$home"

# The compiler may be in root's home, where nobody else can look: it is put where all can.
toolchain=$(rustc --print sysroot)
export toolchain
# In a file system view of its own, which goes with it.
unshare --mount bash -euc '
    mkdir "$home/toolchain"
    mount --bind "$toolchain" "$home/toolchain"
    cd "$home"
    exec setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups \
        env -i HOME="$home" CARGO_HOME="$home" USER=nobody LANG=C.UTF-8 \
            PATH="$home/toolchain/bin:/usr/local/bin:/usr/bin:/bin" bash -c "$1"
' - "$command"
