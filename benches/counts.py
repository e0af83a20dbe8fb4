#!/usr/bin/env python3
"""What a frame costs, counted and not timed: the same numbers, within 5 %, on any machine at any load.

    counts.py SERIALSHARK COUNTED BOUNDS.toml

- Instructions a frame, by callgrind: a file of frames is read and written as pcap or pcapng; what
  the program does once is taken off by counting twice, with twice as many frames. COUNTED is a
  build that callgrind can run (scripts/counts.sh makes it).
- System calls a frame on a slow line, by strace: a frame at a time through a PTY, to a reader of
  the FIFO.

Prints a table, and ends with 1 if a count is above its bound. Needs valgrind and strace.
"""

import os
import pty
import re
import subprocess
import sys
import tempfile
import tomllib
import tty

FRAMES = 40_000
SLOW_FRAMES = 100
PCAP_HEADER = 24


def crc(octets, start, poly):
    for octet in octets:
        start ^= octet
        for _ in range(8):
            start = start >> 1 ^ poly if start & 1 else start >> 1
    return start


def frame(number, data=b""):
    """A token or a BACnet frame of MS/TP (ASHRAE 135, clause 9.3); no two in turn are alike."""
    kind = 6 if data else 0
    header = bytes([kind, number & 127, number >> 7 & 127, *len(data).to_bytes(2, "big")])
    octets = b"\x55\xff" + header + bytes([crc(header, 0xFF, 0x81) ^ 0xFF])
    if data:
        octets += data + (crc(data, 0xFFFF, 0x8408) ^ 0xFFFF).to_bytes(2, "little")
    return octets


def instructions(program, octets, name, folder):
    source = os.path.join(folder, "octets")
    with open(source, "wb") as file:
        file.write(octets)
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, "-q",
               source, "--force", "-w", os.path.join(folder, name)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return int(re.search(r"Collected : (\d+)", said)[1])


def instructions_a_frame(program, data, name, folder):
    once = b"".join(frame(n, data) for n in range(FRAMES))
    one, two = (instructions(program, once * times, name, folder) for times in (1, 2))
    return (two - one) / FRAMES


def calls(program, frames, folder):
    """System calls of a run with so many frames, one at a time."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    fifo, log = (os.path.join(folder, name) for name in ("fifo", "strace"))
    os.mkfifo(fifo)
    options = ["-q", "--baud=115200", "--fifo", fifo, "-c", str(frames)]
    # Named by a link, which goes first: a number may soon be another terminal's.
    link = os.path.join(folder, "port")
    os.symlink(os.ttyname(slave), link)
    traced = subprocess.Popen(["strace", "-f", "-qq", "-o", log, program, link, *options])
    reader = os.open(fifo, os.O_RDONLY)
    read_exactly(reader, PCAP_HEADER)
    for number in range(frames):
        octets = frame(number)
        os.write(master, octets)
        read_exactly(reader, 16 + len(octets))
    assert traced.wait() == 0, "serialshark failed"
    with open(log) as file:
        lines = [line for line in file if "<unfinished" not in line and "+++" not in line]
    os.remove(link)
    if os.path.exists(fifo):
        os.remove(fifo)
    for descriptor in (reader, master, slave):
        os.close(descriptor)
    return len(lines)


def read_exactly(descriptor, count):
    while count:
        octets = os.read(descriptor, count)
        assert octets, "the stream ended early"
        count -= len(octets)


def main():
    program, counted, bounds_file = sys.argv[1:]
    with open(bounds_file, "rb") as file:
        bounds = tomllib.load(file)
    with tempfile.TemporaryDirectory() as folder:
        long = bytes(range(250)) * 2
        found = {
            "instructions a token, pcap": instructions_a_frame(counted, b"", "a.pcap", folder),
            "instructions a token, pcapng": instructions_a_frame(counted, b"", "a.pcapng", folder),
            "instructions a frame of 510 bytes, pcap":
                instructions_a_frame(counted, long, "a.pcap", folder),
            "system calls a frame on a slow line":
                (calls(program, 2 * SLOW_FRAMES, folder) - calls(program, SLOW_FRAMES, folder))
                / SLOW_FRAMES,
        }
    failed = False
    print("| count | found | at most |\n|---|---|---|")
    for what, count in found.items():
        bound = bounds[what]
        failed |= count > bound
        print(f"| {what} | {count:.2f} | {bound} |{' **too many**' * (count > bound)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
