#!/usr/bin/env bash
# What scripts/test-deb.sh runs in its container, which is thrown away afterwards.
set -euo pipefail
trap 'echo "failed: line $LINENO: $BASH_COMMAND"; journalctl -b --no-pager -n 40 -u "serialshark@*"' ERR

# Files of the system, without what it writes by itself, and the copies of the tools for users.
files() {
    find / -xdev -mindepth 1 \( -path /dev -o -path /proc -o -path /root -o -path /run \
        -o -path /sys -o -path /tmp -o -path /var/cache -o -path /var/lib/dpkg \
        -o -path /var/lib/systemd -o -path /var/log/journal \
        -o -regex '/etc/\(\.pwd\.lock\|[a-z]*-\)' \) -prune -o -print | sort
    find /run -path '*serialshark*' | sort
}
# Waits until a command succeeds.
eventually() {
    for _ in $(seq 300); do
        if "$@"; then return; fi
        read -rt 0.1 <> <(:) || true
    done
    echo "not within 30 s: $*"
    false
}
not() { ! "$@"; }
as() { setpriv --reuid="$1" --regid="$2" --clear-groups "${@:3}"; }

files >/tmp/before
dpkg --install /root/serialshark.deb | tee /tmp/said

echo '* what is there'
[ "$(grep -c '^serialshark: .*\(serialshark ports\|/serialshark\.toml\)$' /tmp/said)" = 2 ]
[ -e /usr/share/doc/serialshark/docs/recipes.md ]
serialshark --version
[ "$(serialshark -q sim:mstp -c 3 | wc -l)" = 3 ]
[ -e /usr/share/man/man1/serialshark.1.gz ]
[ -e /usr/share/bash-completion/completions/serialshark ]
serialshark check-config /usr/share/doc/serialshark/examples/serialshark.toml
systemd-analyze verify --man=no serialshark@trunk.service 2>&1 | tee /tmp/faults
[ ! -s /tmp/faults ]
systemd-analyze security --threshold=20 serialshark@trunk.service | tail -n 1

echo '* a port without a configuration is left alone'
systemctl start serialshark@trunk
not systemctl is-active --quiet serialshark@trunk

echo '* a service'
mkdir /etc/serialshark
cat >/etc/serialshark/trunk.toml <<'TOML'
port = "sim:mstp"
write = "trunk.pcapng"
rotate-size = "10M"
TOML
echo 'port = "sim:riot"' >/etc/serialshark/radio.toml
systemctl enable --now serialshark@trunk
systemctl start serialshark@radio
systemctl is-active serialshark@trunk serialshark@radio
fifo=/run/serialshark/trunk.fifo
# A header and a packet at least, for a member of dialout, and for nobody else.
[ "$(as 1234 dialout head -c 60 $fifo | wc -c)" = 60 ]
not as 1234 1234 cat $fifo 2>/dev/null
[ "$(stat -c '%U %G %a' $fifo)" = 'serialshark dialout 660' ]

echo '* what it may open, and what it says of itself'
shown() { systemctl show --property="$1" --value serialshark@trunk; }
[ "$(shown DevicePolicy)" = closed ]
unit=/usr/lib/systemd/system/serialshark@.service
# ProtectClock= adds a clock that may be read.
[ "$(shown DeviceAllow | sort)" = \
    "$({ sed -n 's/^DeviceAllow=//p' $unit; echo 'char-rtc r'; } | sort)" ]
# Readers are told of as they come and go, and packets with them.
says() { grep -Eqx "$1" <<<"$(shown StatusText)"; }
exec 4<$fifo
[ "$(head -c 60 <&4 | wc -c)" = 60 ]
eventually says '[0-9]+ packets, 0 dropped, 1 readers'
exec 4<&-
eventually says '[1-9][0-9]* packets, 0 dropped, 0 readers'

echo '* the next file, on reload'
captures() { [ "$(find /var/log/serialshark -name 'trunk_*.pcapng' -size +0 | wc -l)" -ge "$1" ]; }
eventually captures 1
systemctl reload serialshark@trunk
eventually captures 2
[ -z "$(find /var/log/serialshark -type f -not -perm 660)" ]
systemctl reload serialshark@radio
systemctl is-active serialshark@radio
[ "$(systemctl show --property=NRestarts --value serialshark@radio)" = 0 ]

echo '* one ends, the other goes on'
systemctl stop serialshark@radio
[ ! -e /run/serialshark/radio.fifo ]
[ -p $fifo ]
[ "$(head -c 60 $fifo | wc -c)" = 60 ]

echo '* one that was killed comes back'
systemctl kill --signal=KILL serialshark@trunk
restarted() { [ "$(systemctl show --property=NRestarts --value serialshark@trunk)" = 1 ]; }
eventually restarted
eventually systemctl is-active --quiet serialshark@trunk
[ "$(head -c 60 $fifo | wc -c)" = 60 ]

echo '* a port that is missing is waited for'
cat >/etc/serialshark/missing.toml <<'TOML'
port = "/dev/ttyUSB7"
unix = "/run/serialshark/missing.sock"
format = "pcapng"
history = 60
TOML
systemctl start serialshark@missing
systemctl is-active serialshark@missing

echo '* a port that a service has is in the interface list all the same'
[ "$(stat -c '%U %G %a' /run/serialshark/missing.sock)" = 'serialshark dialout 660' ]
mkfifo --mode=666 /tmp/extcap
as 1234 dialout timeout 20 \
    serialshark --capture --extcap-interface serialshark-ttyUSB7 --fifo /tmp/extcap &
[ "$(head -c 100 /tmp/extcap | wc -c)" = 100 ]
wait $!

echo '* a configuration that is wrong is not tried again'
echo 'prt = "sim:mstp"' >/etc/serialshark/wrong.toml
not systemctl start serialshark@wrong 2>/dev/null
journalctl -b --no-pager -u serialshark@wrong | grep -q 'wrong.toml:1: unknown key: prt'
[ "$(systemctl show --property=NRestarts --value serialshark@wrong)" = 0 ]

echo '* no network, unless it is asked for'
printf 'port = "sim:mstp"\ntcp = 19000\n' >/etc/serialshark/net.toml
not systemctl start serialshark@net 2>/dev/null
journalctl -b --no-pager -u serialshark@net | grep -q 'TCP 127.0.0.1:19000: cannot listen'
mkdir -p /run/systemd/system/serialshark@net.service.d
printf '[Service]\nRestrictAddressFamilies=AF_INET AF_INET6\nIPAddressAllow=localhost\n' \
    >/run/systemd/system/serialshark@net.service.d/tcp.conf
systemctl daemon-reload
systemctl restart serialshark@net
exec 3<>/dev/tcp/127.0.0.1/19000
[ "$(head -c 60 <&3 | wc -c)" = 60 ]
exec 3>&-
rm -r /run/systemd/system/serialshark@net.service.d

echo '* an upgrade keeps rules of the owner, and restarts what ran'
mkdir -p /etc/udev/rules.d
echo '# mine' >/etc/udev/rules.d/60-serialshark.rules
before=$(systemctl show --property=MainPID --value serialshark@trunk)
dpkg --install /root/serialshark.deb
[ "$(cat /etc/udev/rules.d/60-serialshark.rules)" = '# mine' ]
systemctl is-active serialshark@trunk
[ "$(systemctl show --property=MainPID --value serialshark@trunk)" != "$before" ]
rm /etc/udev/rules.d/60-serialshark.rules

echo '* a purge leaves captures and configurations, and else nothing'
dpkg --purge serialshark
not pidof serialshark
[ -e /etc/serialshark/trunk.toml ]
captures 2
getent passwd serialshark
dpkg --install /root/serialshark.deb
rm -r /etc/serialshark /var/log/serialshark
dpkg --purge serialshark
files >/tmp/after
not getent passwd serialshark >/dev/null
left=$(comm -13 /tmp/before /tmp/after)
[ -z "$left" ] || { echo "left: $left"; false; }
echo 'the package is good'
