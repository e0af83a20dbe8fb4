#!/usr/bin/env bash
# Builds the program for 64-bit Windows, and packs it with licences, documentation, a sample
# configuration and an installer, as ./target/windows/serialshark-VERSION-windows-x86_64.zip
#
#   scripts/build-windows.sh
#   scripts/build-windows.sh twice   two clones of the last commit, at other paths: whether both
#                                    builds give the same octets; ten minutes and more
#
# On Debian 12 with cargo; installs what it needs, as root. The same source and compiler give the same
# octets, wherever and whenever it is built:
#
#   SOURCE_DATE_EPOCH=SECONDS  the time of all files in it; without, that of the last commit
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $PWD == *[[:space:]]* ]]; then
    echo "$PWD: dlltool, which the build needs, takes no path with spaces" >&2
    exit 1
fi
if [ "${1:-}" = twice ]; then
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    first=$place/first second=$place/elsewhere/at/a-longer-path
    # Both of the same commit, whatever is committed meanwhile.
    git clone --quiet . "$first"
    git clone --quiet "$first" "$second"
    "$first/scripts/build-windows.sh"
    "$second/scripts/build-windows.sh"
    cmp "$first"/target/windows/*.zip "$second"/target/windows/*.zip
    echo "the same octets: $(sha256sum <"$first"/target/windows/*.zip | cut -d ' ' -f 1)"
    exit
fi

export DEBIAN_FRONTEND=noninteractive
if ! { command -v x86_64-w64-mingw32-gcc && command -v zip; } >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends gcc-mingw-w64-x86-64-win32 zip >/dev/null
fi
scripts/rust-src.sh

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=serialshark-$version-windows-x86_64
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
out=$PWD/target/windows
rm -rf "$out"
mkdir -p "$out/$name/examples"

# What the properties of the file show.
sed -e "s/@VERSION@/$version/" -e "s/@NUMBERS@/${version//./,},0/" packaging/windows/version.rc.in |
    x86_64-w64-mingw32-windres -o "$out/version.o"

# No path of this machine and no time of today is in it.
target=x86_64-pc-windows-gnu
cargo_home=${CARGO_HOME:-$HOME/.cargo}
flags=("--remap-path-prefix=$PWD=/serialshark" "--remap-path-prefix=$cargo_home=/cargo"
    "--remap-path-prefix=$(rustc --print sysroot)=/rust"
    -C link-arg=-Wl,--no-insert-timestamp -C "link-arg=$out/version.o" -C strip=symbols)
# The folder of cargo may have spaces.
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS
# -Zbuild-std on a stable compiler.
RUSTC_BOOTSTRAP=1 cargo build --quiet --locked --release --bin serialshark \
    --target "$target" --target-dir target -Zbuild-std=std,panic_unwind

cp "target/$target/release/serialshark.exe" packaging/windows/install.ps1 "$out/$name/"
cp packaging/windows/serialshark.toml "$out/$name/examples/"
for licence in MIT APACHE; do
    cp "LICENSE-$licence" "$out/$name/LICENSE-$licence.txt"
done
# The pages, and what they link to, at the same places as in the package for Debian.
sed -n 's|^ *\["\(.*\)", "usr/share/doc/serialshark/\(.*\)", "644"\],$|\1 \2|p' Cargo.toml |
    while read -r from to; do
        case $to in
        examples/* | changelog) continue ;;
        */ | "") mkdir -p "$out/$name/$to" ;;
        esac
        # shellcheck disable=SC2086 # may be a pattern
        install -D -m 644 -t "$out/$name/$to" $from
    done
install -m 644 CHANGELOG.md "$out/$name/"

cd "$out"
find "$name" -type f -exec chmod 644 {} + -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
# Times in it are those of a clock on the wall.
find "$name" -type f | LC_ALL=C sort | TZ=UTC zip -q -X -9 -@ "$name.zip"
rm -r "${out:?}/$name" version.o
echo "$out/$name.zip"
