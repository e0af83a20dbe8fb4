"""The program under Wine, a pseudo-terminal as COM5, and who reads what comes."""

import atexit
import os
import pty
import signal
import socket
import subprocess
import termios
import time
import tty

WINE = os.environ.get("WINE64", "/usr/lib/wine/wine64")
TOKEN = bytes.fromhex("55ff0010050000 8c".replace(" ", ""))
PIPE = r"\\.\pipe\sharkfin"
DEADLINE = 60


class Port:
    """COM5: what is written here arrives there."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        if os.path.lexists("com5"):
            os.remove("com5")
        os.symlink(os.ttyname(self.slave), "com5")

    def unplug(self):
        os.close(self.slave)
        os.close(self.master)

    def send(self, octets):
        os.write(self.master, octets)

    def speed(self):
        return termios.tcgetattr(self.slave)[5]


class Program:
    """serialshark.exe, or another one; what it says is in `said()`."""

    count = 0

    def __init__(self, *args, program="serialshark.exe", **environment):
        Program.count += 1
        self.log = f"log{Program.count}"
        with open(self.log, "w") as log:
            command, environment = [WINE, program, *args], {**os.environ, **environment}
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        atexit.register(self.process.kill)

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def wait_for(self, text, times=1):
        end = time.monotonic() + DEADLINE
        while self.said().count(text) < times:
            assert time.monotonic() < end, f"{text!r} in {self.said()}"
            time.sleep(0.05)

    def interrupt(self):
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def output(self):
        """All that it prints; then it has ended."""
        return self.process.stdout.read()

    def end(self):
        code = self.process.wait(timeout=DEADLINE)
        self.process.stdout.close()
        return code


def eventually(is_true, what):
    end = time.monotonic() + DEADLINE
    while not is_true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def free_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


def reader(*more):
    command = [WINE, "read_pipe.exe", PIPE, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def leave(process):
    process.kill()
    process.wait()
    process.stdout.close()


def fields(*args, **how):
    command = ["tshark", "-T", "fields", "-e", "mstp.frame_type", "-e", "_ws.malformed", *args]
    out = subprocess.run(command, capture_output=True, timeout=DEADLINE, check=True, **how).stdout
    lines = out.decode().splitlines()
    assert not any(line.split("\t")[1] for line in lines), lines
    return lines


def has_trailer(name):
    """Whether the last block of a pcapng file is that of the interface statistics."""
    with open(name, "rb") as file:
        octets = file.read()
    length = int.from_bytes(octets[-4:], "little")
    return int.from_bytes(octets[-length:][:4], "little") == 5
