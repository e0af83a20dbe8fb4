"""Sees that a tshark shows what was on the line: fields, not texts, which change with versions.

    judge.py SERIALSHARK [ROOT]      tshark of the Debian in ROOT, or the one that is installed

scripts/test-wireshark.sh runs it.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 60
FIELDS = ["mstp.frame_type", "mstp.dst", "mstp.src", "mstp.len", "frame.len"]
FLAG = "frame.packet_flags_crc_error"
COMMENT = "frame.comment"
EXTCAP_PACKETS = 20


def crc(octets, start, poly):
    for octet in octets:
        start ^= octet
        for _ in range(8):
            start = start >> 1 ^ poly if start & 1 else start >> 1
    return start


def frame(kind, destination, source, data, is_damaged):
    """A frame of MS/TP (ASHRAE 135, clause 9.3), and what its fields have to be."""
    header = bytes([kind, destination, source, *len(data).to_bytes(2, "big")])
    octets = b"\x55\xff" + header + bytes([crc(header, 0xFF, 0x81) ^ 0xFF])
    if data:
        check = crc(data, 0xFFFF, 0x8408) ^ 0xFFFF ^ (0x100 if is_damaged else 0)
        octets += data + check.to_bytes(2, "little")
    return octets, [kind, destination, source, len(data), len(octets)], is_damaged


def line():
    """Tokens, polls, data that is BACnet's (a who-is) and data that is nobody's, one damaged."""
    who_is = bytes.fromhex("0120ffff00ff1008")
    frames = []
    for turn in range(40):
        frames.append(frame(0, turn + 1, turn, b"", False))
        frames.append(frame(1, 127 - turn, turn, b"", False))
        frames.append(frame(6, 255, turn, who_is, turn == 20))
        frames.append(frame(200, 3, turn, bytes(range(turn + 2)), False))
    return frames


class Tshark:
    def __init__(self, root):
        self.root = Path(root or "/")
        self.prefix = ["chroot", root] if root else []
        self.env = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        said = subprocess.run([*self.prefix, "tshark", "--version"], env=self.env, check=True,
                              capture_output=True, text=True).stdout
        self.version = tuple(int(n) for n in re.search(r"(\d+)\.(\d+)\.(\d+)", said).groups())

    def inside(self, path):
        """The name of a path of ours for programs in there."""
        return "/" + str(Path(path).relative_to(self.root))

    def run(self, args, home=None, stdin=subprocess.DEVNULL):
        env = {**self.env, "HOME": home or "/nonexistent"}
        return subprocess.run([*self.prefix, "tshark", "-n", "-l", *args], env=env, stdin=stdin,
                              capture_output=True, text=True, timeout=SECONDS)

    def packets(self, args, more=(), **options):
        fields = [*FIELDS, *more]
        wanted = [word for field in fields for word in ("-e", field)]
        done = self.run([*args, "-T", "fields", "-E", "separator=/t", *wanted], **options)
        rows = [row.split("\t") for row in done.stdout.splitlines()]
        if done.returncode or not rows:
            print(f"tshark {args}: exit {done.returncode}\n{done.stderr}", file=sys.stderr)
        return [[number(cell) for cell in row[:len(FIELDS)]] + row[len(FIELDS):] for row in rows]


def number(cell):
    return int(cell, 0) if cell else None


def is_true(cell):
    return {"": False, "0": False, "False": False, "1": True, "True": True}[cell]


class Judge:
    def __init__(self, program, tshark, folder):
        self.program, self.tshark, self.folder = program, tshark, Path(folder)
        self.frames = line()
        self.failed = False
        self.octets = self.folder / "line.bin"
        self.octets.write_bytes(b"".join(octets for octets, _, _ in self.frames))

    def say(self, what, wrong, start):
        self.failed |= bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':6}  {what}, {time.monotonic() - start:.1f} s"
              + f"{': ' + wrong if wrong else ''}", flush=True)

    def compare(self, found, notes):
        """What is wrong with these packets, if anything is."""
        if len(found) != len(self.frames):
            return f"{len(found)} packets of {len(self.frames)}"
        for at, (row, (_, fields, is_damaged)) in enumerate(zip(found, self.frames), 1):
            if row[:len(FIELDS)] != fields:
                return f"packet {at}: {row} and not {fields}"
            if notes:
                flag, comment = row[len(FIELDS):]
                if is_true(flag) != is_damaged or (is_damaged and "CRC" not in comment):
                    return f"packet {at}: flag {flag!r}, comment {comment!r}, damaged: {is_damaged}"
        return ""

    def live(self, what, outputs, interface, pcapng):
        """All of the line through an output that has readers."""
        start = time.monotonic()
        words = ["--format", "pcapng"] if pcapng else []
        feeder = subprocess.Popen([self.program, str(self.octets), *outputs, *words],
                                  stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        try:
            for said in feeder.stderr:
                if "waiting for a reader" in said:
                    break
            found = self.tshark.packets(
                ["-i", interface, "-c", str(len(self.frames))], [FLAG, COMMENT] if pcapng else [])
            self.say(f"{what}, {'pcapng' if pcapng else 'pcap'}", self.compare(found, pcapng), start)
            if feeder.wait(SECONDS) != 0:
                self.say(f"{what}: the end of serialshark", feeder.stderr.read(), start)
        finally:
            feeder.kill()
            feeder.wait()

    def written(self, name, by_pipe):
        start = time.monotonic()
        path = self.folder / name
        subprocess.run([self.program, "-q", str(self.octets), "-w", str(path), "--force"],
                       check=True, stdin=subprocess.DEVNULL)
        pcapng = name.endswith("pcapng")
        more = [FLAG, COMMENT] if pcapng else []
        if by_pipe:
            with open(path, "rb") as file:
                found = self.tshark.packets(["-r", "-"], more, stdin=file)
        else:
            found = self.tshark.packets(["-r", self.tshark.inside(path)], more)
        what = f"{'standard input' if by_pipe else 'file'}, {'pcapng' if pcapng else 'pcap'}"
        self.say(what, self.compare(found, pcapng), start)

    def extcap(self):
        """The simulated trunk in the interface list; a file of its packets tells what they are."""
        start = time.monotonic()
        path = self.folder / "sim.pcap"
        subprocess.run([self.program, "-q", "sim:mstp", "-c", str(3 * EXTCAP_PACKETS), "-w",
                        str(path), "--force"], check=True, stdin=subprocess.DEVNULL)
        expected = self.tshark.packets(["-r", self.tshark.inside(path)])
        home = self.folder / "home"
        self.install(home)
        inside = self.tshark.inside(home)
        listed = self.tshark.run(["-D"], home=inside).stdout
        self.say("extcap in the interface list",
                 "" if "serialshark-sim-mstp" in listed else listed or "nothing", start)
        start = time.monotonic()
        found = self.tshark.packets(
            ["-i", "serialshark-sim-mstp", "-c", str(EXTCAP_PACKETS)], home=inside)
        runs = [expected[at:at + EXTCAP_PACKETS] for at in range(len(expected))]
        wrong = "" if found in runs else f"{len(found)} packets, such as {found[:3]}"
        if wrong and self.tshark.version < (4, 0, 0):
            print(f"known   extcap, {wrong}: Wireshark 3.4 shows pcapng only at times")
        else:
            self.say("extcap, captured", wrong, start)

    def install(self, home):
        """Puts the program where tshark looks; one of these two folders, as the version has it."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        program = bin_folder / "serialshark"
        shutil.copy(self.program, program)
        inside = self.tshark.inside(program)
        starts = subprocess.run([*self.tshark.prefix, inside, "--version"], capture_output=True)
        if starts.returncode:
            # Its libc is older than the one that the program was built with: with that one, then.
            loader = self.with_libraries(bin_folder)
            program.rename(bin_folder / "program")
            at = self.tshark.inside(bin_folder)
            program.write_text(f'#!/bin/sh\nexec {at}/{loader} --library-path {at} {at}/program "$@"\n')
            program.chmod(0o755)
        for folder in (".config/wireshark/extcap", ".local/lib/wireshark/extcap"):
            (home / folder).mkdir(parents=True)
            (home / folder / "serialshark").symlink_to(inside)

    def with_libraries(self, folder):
        listed = subprocess.run(["ldd", self.program], check=True, capture_output=True, text=True)
        paths = re.findall(r"(/\S+)", listed.stdout)
        for path in paths:
            shutil.copy(path, folder)
        return next(Path(path).name for path in paths if "ld-linux" in path)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    program = os.path.abspath(sys.argv[1])
    tshark = Tshark(sys.argv[2] if len(sys.argv) > 2 else None)
    print("Wireshark %d.%d.%d" % tshark.version, flush=True)
    # Short, since the name of a socket may not be long; and inside, so that both see it.
    with tempfile.TemporaryDirectory(dir=tshark.root / "tmp") as folder:
        judge = Judge(program, tshark, folder)
        fifo, unix = judge.folder / "fifo", judge.folder / "unix"
        # Live pcapng is not for 3.4, which shows it at times only.
        for pcapng in (False, True) if tshark.version >= (4, 0, 0) else (False,):
            judge.live("FIFO", ["--fifo", str(fifo)], tshark.inside(fifo), pcapng)
            port = free_port()
            judge.live("TCP", ["--tcp", str(port)], f"TCP@127.0.0.1:{port}", pcapng)
            judge.live("Unix socket", ["--unix", str(unix)], tshark.inside(unix), pcapng)
        for by_pipe in (False, True):
            judge.written("a.pcap", by_pipe)
            judge.written("a.pcapng", by_pipe)
        judge.extcap()
    sys.exit(judge.failed)


if __name__ == "__main__":
    main()
