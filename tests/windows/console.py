"""The console: under Wine a terminal of Linux is one."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

from harness import DEADLINE, WINE, Program


class Console:
    """A program in a console of 100 columns and 30 rows."""

    def __init__(self, *args):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))

        def own():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [WINE, "serialshark.exe", *args], stdin=slave, stdout=slave, stderr=slave, preexec_fn=own
        )
        os.close(slave)
        self.shown = b""

    def wait_for(self, text):
        end = time.monotonic() + DEADLINE
        while text not in self.shown:
            assert time.monotonic() < end and self.process.poll() is None, self.shown
            self.take(0.2)

    def take(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.master, 65536)
            except OSError:
                return False
        return True

    def type(self, keys):
        self.shown = b""
        os.write(self.master, keys)

    def end(self):
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < end, self.shown
            self.take(0.1)
        while select.select([self.master], [], [], 0)[0] and self.take(0):
            pass
        return self.process.returncode


def a_live_line_is_shown_and_taken_back():
    console = Console("sim:mstp", "-w", "live.pcapng")
    console.wait_for(b" packets, ")
    console.wait_for(b" dropped, 0 readers")
    console.process.send_signal(2)
    assert console.end() == 0 and b"live.pcapng: finished after" in console.shown, console.shown


def top_takes_the_console_and_gives_it_back():
    console = Console("top", "sim:mstp")
    console.wait_for(b"serialshark top: sim:mstp")
    console.type(b"?")
    console.wait_for(b"Esc")
    console.type(b"q")
    assert console.end() == 0 and b"\x1b[?1049l" in console.shown, console.shown


def printed(*args):
    program = Program(*args)
    text = program.output().decode()
    return program.end(), text, program.said()


def commands_say_what_they_say_on_linux():
    made = Program("sim:mstp", "-c", "500", "-w", "said.pcapng", "--record", "said.rec")
    assert made.end() == 0, made.said()
    code, text, said = printed("report", "said.pcapng")
    assert code == 0 and "Not judged" in text, text + said
    code, text, said = printed("detect", "said.rec")
    assert code == 0 and "mstp" in text, text + said
    with open("said.toml", "w") as file:
        file.write('port = "COM5"\npipe = "sharkfin"\n')
    code, text, said = printed("check-config", "said.toml")
    assert code == 0 and r"\\.\pipe\sharkfin" in text, text + said
    code, text, said = printed("ports")
    assert code == 0 and "serialshark COM5 --pipe sharkfin" in text, text + said
    code, text, said = printed("protocols")
    assert code == 0 and "BACnet MS/TP" in text, text + said
    code, text, said = printed("--help")
    assert code == 0 and "serialshark COM5 --pipe sharkfin" in text and "/dev/ttyACM" not in text, text
