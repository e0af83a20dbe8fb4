#!/usr/bin/env bash
# Installs the package FILE.deb into a clean Debian 12 that runs systemd in a container, sees
# that the service works under all that it is denied, and that a purge leaves nothing.
#
#   scripts/test-deb.sh FILE.deb
#
# Needs root, debootstrap and systemd-nspawn. MIRROR names another source of Debian
# packages than this machine's own.
set -euo pipefail
package=$(realpath "${1:?name the package}")
root=$(mktemp -d)
chmod 755 "$root" # users other than root live there
trap 'rm -rf --one-file-system "$root" "$root.log"' EXIT
machine=serialshark-$$

debootstrap --variant=minbase --include=systemd,systemd-sysv,udev,dbus,procps bookworm "$root" \
    "${MIRROR:-$("$(dirname "$0")/mirror.sh" bookworm)}" >"$root.log" 2>&1 ||
    { cat "$root.log"; exit 1; }
cp "$package" "$root/root/serialshark.deb"
cp "$(dirname "$0")/judge-deb.sh" "$root/root/"
cat >"$root/etc/systemd/system/judge.service" <<'UNIT'
[Unit]
After=multi-user.target
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
TimeoutStartSec=180
ExecStart=/bin/bash /root/judge-deb.sh
StandardOutput=file:/root/judged
StandardError=inherit
UNIT
mkdir -p "$root/etc/systemd/system/graphical.target.wants"
ln -s ../judge.service "$root/etc/systemd/system/graphical.target.wants/"
timeout 240 systemd-nspawn --quiet --directory="$root" --machine="$machine" --boot \
    --register=no --keep-unit --console=pipe </dev/null >"$root.log" 2>&1 || true
if [ ! -e "$root/root/judged" ]; then
    cat "$root.log"
    echo 'the container did not come up'
    exit 1
fi
cat "$root/root/judged"
tail -n 1 "$root/root/judged" | grep -qx 'the package is good'
