#!/usr/bin/env python3
"""What a frame costs, counted and not timed: the same numbers, within hundredths, at any load.

    counts.py SERIALSHARK COUNTED BOUNDS.toml

- Instructions a frame, by callgrind: a file of frames is read and written as pcap or pcapng; what
  the program does once is taken off by counting twice, with twice as many frames. COUNTED is a
  build that callgrind can run (scripts/counts.sh makes it).
- The same on a slow line: a token at a time through a PTY, to a reader of the FIFO.
- System calls a frame on a slow line, by strace, in the same way; and a thousand frames at full
  speed, from a file to a file.
- Memory of its own, which no other program has: on a slow line with one reader.

Prints a table, and ends with 1 if a count is above its bound. Needs valgrind and strace.
"""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
import tty

FRAMES = 40_000
SLOW_FRAMES = 100
# How often the octets of FRAMES are in the file that is read at full speed.
LAPS = 10
PCAP_HEADER = 24
# How often what is above its bound is measured before that is believed.
TRIES = 4


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


@contextlib.contextmanager
def slow_line(program, folder, *options, tracer=()):
    """The program on a pseudo-terminal, with a reader of its FIFO; yields its process, and what
    sends one frame through."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    fifo = os.path.join(folder, "fifo")
    os.mkfifo(fifo)
    # Named by a link, which goes first: a number may soon be another terminal's.
    link = os.path.join(folder, "port")
    os.symlink(os.ttyname(slave), link)
    process = subprocess.Popen([*tracer, program, link, "-q", "--baud=115200", "--fifo", fifo,
                                *options])
    reader = os.open(fifo, os.O_RDONLY)
    read_exactly(reader, PCAP_HEADER)

    def send(octets):
        os.write(master, octets)
        read_exactly(reader, 16 + len(octets))

    yield process, send
    assert process.wait() == 0, "serialshark failed"
    os.remove(link)
    if os.path.exists(fifo):
        os.remove(fifo)
    for descriptor in (reader, master, slave):
        os.close(descriptor)


def instructions_on_a_slow_line(program, folder):
    """Instructions a token that comes in a read of its own, to a reader of the FIFO."""
    log = os.path.join(folder, "callgrind")
    tracer = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]

    def count(frames):
        with slow_line(program, folder, "-c", str(frames), tracer=tracer) as (_, send):
            for number in range(frames):
                send(frame(number))
        with open(log) as file:
            return int(re.search(r"Collected : (\d+)", file.read())[1])

    return (count(6 * SLOW_FRAMES) - count(SLOW_FRAMES)) / (5 * SLOW_FRAMES)


def calls(program, frames, folder):
    """System calls of a run with so many frames, one at a time."""
    log = os.path.join(folder, "strace")
    tracer = ["strace", "-f", "-qq", "-o", log]
    with slow_line(program, folder, "-c", str(frames), tracer=tracer) as (_, send):
        for number in range(frames):
            send(frame(number))
    return traced_calls(log)


def own_memory_kb(program, folder):
    """What a run with one reader has of its own: no pages of files, which any program may use."""
    with slow_line(program, folder) as (process, send):
        for number in range(SLOW_FRAMES):
            send(frame(number))
        with open(f"/proc/{process.pid}/status") as status:
            found = int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1])
        process.send_signal(signal.SIGINT)
    return found


def calls_at_full_speed(program, octets, folder):
    """System calls of a run that reads these octets from a file and writes a file."""
    source, log = (os.path.join(folder, name) for name in ("octets", "strace"))
    with open(source, "wb") as file:
        file.write(octets)
    subprocess.run(["strace", "-f", "-qq", "-o", log, program, "-q", source, "--force", "-w",
                    os.path.join(folder, "a.pcap")], check=True, stdin=subprocess.DEVNULL)
    return traced_calls(log)


def traced_calls(log):
    with open(log) as file:
        return sum("<unfinished" not in line and "+++" not in line for line in file)


def calls_a_thousand_frames(program, folder):
    once = b"".join(frame(n) for n in range(FRAMES))
    one, many = (calls_at_full_speed(program, once * laps, folder) for laps in (1, LAPS + 1))
    return (many - one) / (LAPS * FRAMES / 1000)


def read_exactly(descriptor, count):
    while count:
        octets = os.read(descriptor, count)
        assert octets, "the stream ended early"
        count -= len(octets)


def least(measure, bound):
    """The least of some measurements: a thread that waits for another one adds to a count, and
    nothing takes away from it. One that is within the bound is enough."""
    count = measure()
    for _ in range(TRIES - 1):
        if count <= bound:
            break
        count = min(count, measure())
    return count


def main():
    program, counted, bounds_file = sys.argv[1:]
    with open(bounds_file, "rb") as file:
        bounds = tomllib.load(file)
    with tempfile.TemporaryDirectory() as folder:
        long = bytes(range(250)) * 2
        measures = {
            "instructions a token, pcap":
                lambda: instructions_a_frame(counted, b"", "a.pcap", folder),
            "instructions a token, pcapng":
                lambda: instructions_a_frame(counted, b"", "a.pcapng", folder),
            "instructions a frame of 510 bytes, pcap":
                lambda: instructions_a_frame(counted, long, "a.pcap", folder),
            "instructions a token on a slow line, pcap":
                lambda: instructions_on_a_slow_line(counted, folder),
            "system calls a frame on a slow line":
                lambda: (calls(program, 2 * SLOW_FRAMES, folder)
                         - calls(program, SLOW_FRAMES, folder)) / SLOW_FRAMES,
            "system calls a thousand frames at full speed":
                lambda: calls_a_thousand_frames(program, folder),
            "memory of its own with one reader, kB":
                lambda: own_memory_kb(program, folder),
        }
        found = {what: least(measure, bounds[what]) for what, measure in measures.items()}
    failed = False
    print("| count | found | at most |\n|---|---|---|")
    for what, count in found.items():
        bound = bounds[what]
        failed |= count > bound
        print(f"| {what} | {count:.2f} | {bound} |{' **too many**' * (count > bound)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
