#!/usr/bin/env python3
"""Whether cost grows with the work: CPU time for 1, 4 and 16 ports, and for 1, 4 and 16 readers;
and whether noise costs more than frames do.

    scaling.py SERIALSHARK OUT.json

Each port gets the same octets from a PTY, a write a millisecond at 115,200 baud; the CPU time is
that of the program alone (/proc/PID/task/*/schedstat). Linux only.
"""

import json
import os
import pty
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty

SECONDS = 5
OCTETS_PER_MS = 115_200 / 10 / 1000
# A short token and a frame of data in turn: header CRC and data CRC are those of their octets.
TOKEN = bytes.fromhex("55ff00100500008c")


def crc(octets, poly, start):
    for octet in octets:
        start ^= octet
        for _ in range(8):
            start = start >> 1 ^ poly if start & 1 else start >> 1
    return start


def frame(data):
    header = bytes([6, 1, 2]) + len(data).to_bytes(2, "big")
    header += bytes([crc(header, 0x81, 0xFF) ^ 0xFF])
    return b"\x55\xff" + header + data + (crc(data, 0x8408, 0xFFFF) ^ 0xFFFF).to_bytes(2, "little")


def line():
    chance = random.Random(1)
    return b"".join(TOKEN * 3 + frame(chance.randbytes(chance.choice((20, 40, 80))))
                    for _ in range(500))


def cpu_seconds(pid):
    total = 0
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as file:
            total += int(file.read().split()[0])
    return total / 1e9


def percent(program, ports, readers):
    """CPU time in per cent of the time for this many ports and readers."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        masters = []
        for _ in range(ports):
            master, slave = pty.openpty()
            tty.setraw(slave)
            masters.append((master, os.ttyname(slave)))
        process = subprocess.Popen(
            [program, *(name for _, name in masters), "--baud=115200", "--unix=" + path, "-q"])
        try:
            while not os.path.exists(path):
                time.sleep(0.01)
            clients = []
            while len(clients) < readers:
                client = socket.socket(socket.AF_UNIX)
                try:
                    client.connect(path)
                except ConnectionRefusedError:
                    continue
                client.recv(24)
                threading.Thread(target=read_all, args=(client,), daemon=True).start()
                clients.append(client)
            before, start = cpu_seconds(process.pid), time.perf_counter()
            send([master for master, _ in masters])
            return 100 * (cpu_seconds(process.pid) - before) / (time.perf_counter() - start)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def read_all(client):
    while client.recv(1 << 16):
        pass


def send(masters):
    octets, position, start = line(), 0, time.perf_counter()
    for tick in range(1, SECONDS * 1000):
        time.sleep(max(0, start + tick / 1000 - time.perf_counter()))
        end = int(tick * OCTETS_PER_MS)
        chunk = octets[position % len(octets):][:end - position]
        position += len(chunk)
        # In turn, or the first one would always be woken first.
        first = tick % len(masters)
        for master in masters[first:] + masters[:first]:
            os.write(master, chunk)


def replay(program, octets):
    """CPU time of a run over a file, in seconds."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(octets)
        file.flush()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([program, file.name, "-w", "/dev/null", "-q"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    program, out = sys.argv[1:]
    rows = []
    ports = {n: statistics.median(percent(program, n, 1) for _ in range(3)) for n in (1, 4, 16)}
    rows.append(("CPU for 1, 4, 16 ports at 115,200 baud, %",
                 ", ".join("%.1f" % value for value in ports.values())))
    readers = {n: statistics.median(percent(program, 1, n) for _ in range(3)) for n in (1, 4, 16)}
    rows.append(("CPU for 1, 4, 16 readers, %",
                 ", ".join("%.1f" % value for value in readers.values())))
    clean = line() * (64_000_000 // len(line()))
    noise = random.Random(2).randbytes(len(clean))
    costs = [statistics.median(replay(program, octets) for _ in range(5))
             for octets in (clean, noise)]
    rows.append(("CPU for 64 MB of frames, of noise, s", "%.2f, %.2f" % tuple(costs)))
    with open(out, "w") as file:
        json.dump(rows, file)


if __name__ == "__main__":
    main()
