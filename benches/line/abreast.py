#!/usr/bin/env python3
"""CPU time on a busy line of 115,200 baud: floor, model and serialshark side by side, each with a
PTY of its own and a reader, woken by the same writes. What disturbs the machine disturbs all
three; one after the other they differ by more than what is to be seen.

    abreast.py FLOOR MODEL SERIALSHARK OUT.json

The same line and the same account of CPU time as in scaling.py. Linux only.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty

from scaling import cpu_seconds, send

RUNS = 5


class Program:
    """A program between a PTY and a FIFO with a reader."""

    def __init__(self, path, fifo):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.mkfifo(fifo)
        is_ours = os.path.basename(path) == "serialshark"
        options = ["--baud=115200", "-q", "--fifo"] if is_ours else []
        self.process = subprocess.Popen([path, os.ttyname(self.slave), *options, fifo])
        self.reader = os.open(fifo, os.O_RDONLY)
        os.read(self.reader, 24)
        threading.Thread(target=self.read_all, daemon=True).start()

    def read_all(self):
        while os.read(self.reader, 1 << 16):
            pass

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def percents(paths):
    """CPU time of each in per cent of the time."""
    with tempfile.TemporaryDirectory() as directory:
        programs = [Program(path, os.path.join(directory, str(number)))
                    for number, path in enumerate(paths)]
        try:
            before = [cpu_seconds(program.process.pid) for program in programs]
            start = time.perf_counter()
            send([program.master for program in programs])
            seconds = time.perf_counter() - start
            return [100 * (cpu_seconds(program.process.pid) - before) / seconds
                    for program, before in zip(programs, before)]
        finally:
            for program in programs:
                program.end()


def main():
    *paths, out = sys.argv[1:]
    runs = [percents(paths) for _ in range(RUNS)]
    names = [os.path.basename(path) for path in paths]
    with open(out, "w") as file:
        json.dump(dict(zip(names, zip(*runs))), file)


if __name__ == "__main__":
    main()
