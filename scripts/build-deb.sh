#!/usr/bin/env bash
# Builds the package for amd64, arm64 or armhf, as ./target/debian/serialshark_*_ARCH.deb
#
#   scripts/build-deb.sh ARCH
#
# On Debian 12, so that it runs there and on a Raspberry Pi OS of the same age. For another
# architecture than this machine's it builds in a Debian of its own, which holds the compilers and
# an emulator that starts the result; that needs root, debootstrap and systemd-nspawn.
#
#   CROSS_ROOT=DIR  keep that Debian there for the next time; without, it is thrown away
#   MIRROR=URL      another source of Debian packages than this machine's own
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:?name the architecture: amd64, arm64 or armhf}
release=3.8.0 # of cargo-deb
if [ ! -x target/tools/bin/cargo-deb ]; then
    cargo install --debug --quiet --locked --root target/tools "cargo-deb@$release"
fi
cargo_deb=target/tools/bin/cargo-deb

if [ "$arch" = "$(dpkg --print-architecture)" ]; then
    exec "$cargo_deb" --locked --quiet
fi
case $arch in
arm64)
    target=aarch64-unknown-linux-gnu
    tools=aarch64-linux-gnu
    machine=aarch64
    prepare='dpkg --add-architecture arm64'
    packages='libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
    build=()
    ;;
armhf)
    target=armv7-unknown-linux-gnueabihf
    tools=arm-linux-gnueabihf
    machine=arm
    prepare=:
    packages='rust-web-src gcc-arm-linux-gnueabihf libc6-dev-armhf-cross'
    # Debian's standard library for armhf is older than what serialshark needs; so it is built
    # from its source, which the compiler lets only those do who ask for what is not stable.
    build=(-Zbuild-std=std)
    ;;
*)
    echo "no package for $arch; there are amd64, arm64, armhf" >&2
    exit 2
    ;;
esac

root=${CROSS_ROOT:-}
if [ -z "$root" ]; then
    root=$(mktemp -d)
    trap 'rm -rf --one-file-system "$root"' EXIT
fi
if [ ! -e "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=ca-certificates bookworm "$root" \
        "${MIRROR:-$(scripts/mirror.sh bookworm)}"
    security=${MIRROR:+$MIRROR-security}
    echo "deb ${security:-$(scripts/mirror.sh bookworm-security)} bookworm-security main" \
        >>"$root/etc/apt/sources.list"
fi
inside() {
    systemd-nspawn --quiet --register=no --keep-unit --as-pid2 --console=pipe \
        --directory="$root" "$@" </dev/null
}
inside --setenv=DEBIAN_FRONTEND=noninteractive sh -ec "
    $prepare
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends \
        rustc-web cargo-web $packages qemu-user-static >/dev/null"

# The sources go in, with all crates: nothing is fetched from within.
rm -rf "$root/src"
mkdir "$root/src"
cp -r Cargo.toml Cargo.lock src benches hardware "$root/src/"
mkdir "$root/src/.cargo"
cargo vendor --quiet --locked --versioned-dirs "$root/src/vendor"
cat >"$root/src/.cargo/config.toml" <<'CONFIG'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "/src/vendor"
CONFIG
if [ ${#build[@]} != 0 ]; then
    inside sh -ec 'cp -rn /usr/src/rustc-*/library/vendor/* /src/vendor/'
fi
variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER
inside --chdir=/src --setenv="$variable=$tools-gcc" --setenv=RUSTC_BOOTSTRAP=${#build[@]} \
    cargo build --offline --release --bin serialshark --target "$target" "${build[@]}"
binary=target/$target/release/serialshark
inside "$tools-strip" "/src/$binary"

# It starts, and its packets come out.
emulator=$root/usr/bin/qemu-$machine-static
lines=$(timeout 60 "$emulator" -L "$root/usr/$tools" "$root/src/$binary" -q sim:mstp -c 5 | wc -l)
[ "$lines" = 5 ] || { echo "the program does not run: $lines lines of 5" >&2; exit 1; }

install -D "$root/src/$binary" "$binary"
"$cargo_deb" --quiet --no-build --no-strip --target "$target"
