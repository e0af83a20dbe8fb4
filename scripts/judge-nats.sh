#!/usr/bin/env bash
# Trunks into one NATS server: nothing may be lost or doubled. Each trunk, read back, must have the packets of
# its own file, octet for octet. Needs nats-server and a built program.
#
#   scripts/judge-nats.sh [TRUNKS [SECONDS]]    100 trunks for 60 s; the server is killed three times
#   scripts/judge-nats.sh offline [SECONDS]     one trunk with a spool; the server is away for 3600 s
set -euo pipefail
if [ "${1:-}" = offline ]; then
    trunks=1
    seconds=${2:-3600}
    spool=spool
else
    trunks=${1:-100}
    seconds=${2:-60}
    spool=
fi
program=${SERIALSHARK:-target/release/serialshark}
program=$(realpath "$program")
dir=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
pids=()
server=
finish() {
    kill "${pids[@]}" $server 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
cd "$dir"
start_server() {
    nats-server -a 127.0.0.1 -p $port -js -sd "$dir/store" -l "$dir/server.log" &
    server=$!
}
start_server
sleep 1
for n in $(seq "$trunks"); do
    "$program" sim:mstp --nats nats://127.0.0.1:$port/site.t$n --nats-keep 1d,100M ${spool:+--nats-spool "$spool"} \
        -w t$n.pcapng 2> t$n.log &
    pids+=($!)
done
kill_server() {
    kill -9 $server
    wait $server 2>/dev/null || true
}
if [ -n "$spool" ]; then
    sleep 10
    kill_server
    sleep "$seconds"
    du -sk "$spool" | awk '{ print "the spool has " $1 " KiB" }'
    start_server
else
    for _ in 1 2 3; do
        sleep $((seconds / 4))
        kill_server
        sleep 1
        start_server
    done
    sleep $((seconds / 4))
fi
# What is on its way gets there once the server is back, which is tried every 30 s at least.
sleep 32
ticks=0
memory=0
for pid in "${pids[@]}"; do
    read -r -a stat < /proc/"$pid"/stat
    ticks=$((ticks + stat[13] + stat[14]))
    memory=$((memory + $(awk '/^VmHWM/ { print $2 }' /proc/"$pid"/status)))
done
kill -INT "${pids[@]}"
wait "${pids[@]}" || true
pids=()
if [ -n "$spool" ]; then
    find "$spool" -type f -name '*.pcapng' -printf 'left in the spool: %f, %s octets\n'
    cat t1.log
fi
# The time that is named below has whole seconds.
sleep 1
wrong=0
packets=0
for n in $(seq "$trunks"); do
    "$program" nats://127.0.0.1:$port/site.t$n --since 1d --to "$(date -Iseconds)" -w back.pcapng -q || true
    found=$(python3 - t$n.pcapng back.pcapng << 'PYTHON'
import struct, sys
def packets(path):
    octets, at, found = open(path, "rb").read(), 0, []
    while at + 8 <= len(octets):
        kind, length = struct.unpack_from("=II", octets, at)
        if kind == 6:
            found.append(octets[at:at + length])
        at += length
    return found
one, other = map(packets, sys.argv[1:])
print(len(one), int(one != other))
PYTHON
    )
    read -r count differs <<< "$found"
    packets=$((packets + count))
    wrong=$((wrong + differs))
    rm -f back.pcapng
done
printf '%s trunks, %s s: %s packets, %s trunks differ; CPU of a trunk %s %%, memory %s KiB\n' \
    "$trunks" "$seconds" "$packets" "$wrong" \
    "$(awk "BEGIN { printf \"%.2f\", $ticks / $(getconf CLK_TCK) / $trunks / ($seconds + 35) * 100 }")" \
    "$((memory / trunks))"
[ "$wrong" = 0 ]
