#!/usr/bin/env bash
# The source of the standard library, of the same version as rustc, for -Zbuild-std: what
# `rustup component add rust-src` would lay there, from Debian's packages.
#
#   scripts/rust-src.sh
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(rustc --version | cut -d' ' -f2)
place=$(rustc --print sysroot)/lib/rustlib/src/rust
[ -e "$place/library/Cargo.lock" ] && exit

# Lists and cache of its own: the machine's stay as they are.
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt"/{lists,cache/archives}/partial
touch "$apt/status"
mirror=$(scripts/mirror.sh bookworm)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" \
    >"$apt/sources.list"
options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache=$apt/cache" -o APT::Update::Post-Invoke-Success= -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
package=$(apt-cache "${options[@]}" madison rust-src |
    awk -v want="$version+" 'index($3, want) == 1 { print $3; exit }')
if [ -z "$package" ]; then
    echo "trixie-backports has no rust-src $version; try: rustup component add rust-src" >&2
    exit 1
fi
cd "$apt"
apt-get "${options[@]}" download "rust-src=$package"
dpkg-deb -x rust-src_*.deb unpacked
mkdir -p "$(dirname "$place")"
rm -rf "$place"
mv "unpacked/usr/src/rustc-$version" "$place"
