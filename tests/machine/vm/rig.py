"""A machine with a USB serial adapter that can be pulled out and put back, without either.

QEMU runs a Debian kernel with its real ftdi_sio driver and, where rules are given, the real udevd,
or a real systemd with it. The adapter (0403:6001) is QEMU's, and there may be another one; this
side holds the far end of its line.

    with Rig("target/debug/serialshark", "target/vm-cache") as rig:
        plug = rig.plug()
        program = rig.spawn("/bin/serialshark", "/dev/ttyUSB0")
        rig.send(octets)
        rig.unplug()
        plug.received()     # what came over the USB

The guest's first process is agent.c: it runs programs and carries their output. What else is in
the guest image.py puts there.

What it cannot show: framing errors and breaks (QEMU has none), the timing of a real chip, other
drivers. Octets arrive whatever the rate; what rate the driver asked for is in `requests()`.
"""

import fcntl
import json
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from image import initial_files, kernel

KERNEL_OPTIONS = (
    "console=ttyS0 quiet loglevel=3 panic=-1 nokaslr mitigations=off no_timer_check tsc=reliable"
    " lpj=4000000 audit=0 security=none cryptomgr.notests 8250.nr_uarts=1 random.trust_cpu=on"
    " rcupdate.rcu_expedited=1 raid=noautodetect ipv6.disable=1 pci=noaer nowatchdog"
    # A machine that gets little of a processor may be slow: that is judged from outside.
    " systemd.default_timeout_start_sec=600"
)
ADAPTERS = ("adapter", "other")
AGENT_HEAD = struct.Struct("<BBHI")  # as in agent.c
LONG = 60  # seconds; far longer than anything takes, even on a loaded machine


def eventually(what, condition, limit=LONG):
    """Waits until `condition` gives something."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.005)
    return value


class Process:
    """A program in the guest."""

    def __init__(self, rig, ident):
        self.rig, self.ident = rig, ident
        self.out, self.err, self.status = [], [], None
        self.ended = threading.Event()

    @property
    def stdout(self):
        return b"".join(self.out)

    @property
    def stderr(self):
        return b"".join(self.err).decode(errors="replace")

    def wait_for(self, pattern, count=1):
        """Waits until its stderr has `pattern` so often."""

        def condition():
            if self.stderr.count(pattern) >= count:
                return True
            if self.ended.is_set():
                raise AssertionError(f"ended with {self.status} before {pattern!r}: {self.stderr}")

        try:
            eventually(f"{count} x {pattern!r}", condition)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.stderr[-4000:]}") from None

    def kill(self, signal):
        self.rig.tell("K", self.ident, struct.pack("<i", signal))

    def wait(self, limit=LONG):
        """Its exit code, or 128 and the signal that ended it."""
        if not self.ended.wait(limit):
            raise AssertionError(f"still running after {limit} s: {self.stderr}")
        if self.status is None:
            raise RuntimeError(f"the guest is gone: {self.rig.console()}")
        return 128 + (self.status & 0x7F) if self.status & 0x7F else self.status >> 8

    def terminate(self):
        self.kill(15)
        return self.wait()


class Plug:
    """The adapter from one plug to its unplug; QEMU records its transfers in a file."""

    def __init__(self, rig, capture):
        self.rig, self.capture = rig, capture

    def since_open(self):
        """The transfers of payload since the port was last opened: (out of the host, octets of it
        that QEMU has recorded, octets in all). Only after the unplug is the file complete."""
        capture, at, found = self.capture.read_bytes(), 24, []
        while at < len(capture):
            kept, length = struct.unpack_from("<II", capture, at + 8)
            transfer = capture[at + 16 : at + 16 + kept]
            at += 16 + kept
            stage, kind, endpoint = struct.unpack_from("<cBB", transfer, 8)
            if (stage, kind, transfer[40:44]) == (b"S", 2, b"\x40\0\0\0"):
                found = []  # a reset, with which each open begins
            elif kind == 3 and stage == (b"C" if endpoint & 0x80 else b"S"):
                found.append((endpoint & 0x80 == 0, transfer[64:], length - 64))
        return found

    def received(self):
        """What came over the USB to the driver.

        Of a transfer QEMU records 256 octets; the rest is known from what was put on the line."""
        pattern = b""
        for is_out, recorded, length in self.since_open():
            # Packets of up to 64 octets, the first two of them status.
            for packet in () if is_out else range(0, length, 64):
                payload = recorded[packet + 2 : packet + 64]
                cut = min(length, packet + 64) - (packet + 2) - len(payload)
                pattern += re.escape(payload) + b".{%d}" % cut
        found = re.search(pattern, self.rig.wire, re.DOTALL)
        assert found, "octets came over the USB that were not on the line"
        return found.group()

    def sent(self):
        """What the driver gave the adapter to send."""
        return b"".join(recorded for is_out, recorded, _ in self.since_open() if is_out)


class Rig:
    """The guest; a context manager, and leaving it ends QEMU.

    rules       udevd runs, with these
    systemd     systemd runs, and udevd, and of our package what it installs
    slowness    QEMU's adapter hands octets over at once, whatever the latency timer. FTDI's keeps
                what comes after an open until the timer has run out, or 62 octets are there. This
                many times slower does the one here, since the guest is not as fast as a machine.
    """

    def __init__(self, program, cache, rules=None, slowness=0, systemd=False):
        self.program, self.rules, self.systemd = program, rules, systemd
        self.slowness = slowness
        self.cache = Path(cache).resolve()
        self.processes, self.plugs, self.plugged, self.events = {}, [], set(), []
        self.adapter = ADAPTERS[0]  # the one whose line the bus is
        self.held = bytearray()  # what the adapter keeps for now
        self.wire = bytearray()  # what it took off the line
        self.sent_by_guest = b""  # down the line: onto the bus
        self.lock, self.is_up, self.qemu = threading.Lock(), threading.Event(), None
        self.crashed = False  # QEMU itself
        self.work = Path(tempfile.mkdtemp(prefix="vm-"))

    def __enter__(self):
        try:
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, failure=None, *_):
        if self.qemu:
            status = self.qemu.poll()
            if failure and status is None:
                # Its sockets are gone before it is, if it has crashed.
                try:
                    status = self.qemu.wait(2)
                except subprocess.TimeoutExpired:
                    pass
            self.crashed = status is not None and status < 0
            self.qemu.kill()
            self.qemu.wait()
        shutil.rmtree(self.work)

    def boot(self):
        self.cache.mkdir(parents=True, exist_ok=True)
        with open(self.cache / "lock", "w") as lock:  # another rig may fill the cache just now
            fcntl.flock(lock, fcntl.LOCK_EX)
            vmlinux, modules = kernel(self.cache)
            initrd = self.work / "initrd"
            files = initial_files(self.cache, modules, self.program, self.rules, self.systemd)
            initrd.write_bytes(files)
        self.trace = self.work / "trace"

        def chardev(name):
            return ("-chardev", f"socket,id={name},path={self.work}/{name},server=on,wait=off")

        argv = (
            ("qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max,la57=off"),
            ("-m", "320" if self.systemd else "192", "-nodefaults", "-no-user-config"),
            ("-display", "none", "-no-reboot"),
            ("-kernel", vmlinux, "-initrd", initrd, "-append", KERNEL_OPTIONS),
            ("-serial", f"file:{self.work}/console"),
            ("-qmp", f"unix:{self.work}/qmp,server=on,wait=off"),
            (*chardev("agent"), *sum(map(chardev, ADAPTERS), ())),
            ("-device", "virtio-serial-pci"),
            ("-device", "virtserialport,chardev=agent,name=agent"),
            ("-device", "qemu-xhci,id=usb,p2=4,p3=4"),
            ("-trace", "usb_serial_*", "-D", self.trace, "-msg", "timestamp=on"),
        )
        with open(self.work / "errors", "wb") as errors:
            self.qemu = subprocess.Popen(
                sum(argv, ()), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )
        self.qmp_socket = self.connect("qmp")
        self.qmp_lines = self.qmp_socket.makefile("rb")
        self.qmp_lines.readline()
        self.qmp("qmp_capabilities")
        self.agent = self.connect("agent")
        self.lines = {adapter: self.connect(adapter) for adapter in ADAPTERS}
        threading.Thread(target=self.read_agent, daemon=True).start()
        for line in self.lines.values():
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            threading.Thread(target=self.read_line, args=(line,), daemon=True).start()
        # systemd and all of its udevd's rules take ten times as long to come up.
        if not self.is_up.wait(3 * LONG if self.systemd else LONG):
            raise RuntimeError(f"no sign of life: {self.console()}")
        if self.rules is not None:
            self.shell("/lib/systemd/systemd-udevd --daemon && udevadm trigger && udevadm settle")
        if self.systemd:
            self.shell("systemd-sysusers serialshark.conf && udevadm settle")

    def connect(self, name):
        def attempt():
            if self.qemu.poll() is not None:
                raise RuntimeError(f"qemu ended: {(self.work / 'errors').read_text()}")
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(f"{self.work}/{name}")
            except OSError:
                link.close()
                return None
            return link

        return eventually(f"QEMU's socket {name}", attempt)

    def console(self):
        return (self.work / "console").read_text(errors="replace")[-2000:]

    def qmp(self, command, **arguments):
        """A command to QEMU; what happens meanwhile is added to `events`."""
        request = {"execute": command, "arguments": arguments}
        self.qmp_socket.sendall(json.dumps(request).encode() + b"\n")
        while "return" not in (answer := json.loads(self.qmp_lines.readline())):
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            self.events.append(answer["event"])

    # ---- The adapter and its line

    def plug(self, serial="RIG00001", adapter=ADAPTERS[0]):
        """Plugs an adapter in; returns at once."""
        plug = Plug(self, self.work / f"usb-{len(self.plugs)}.pcap")
        self.plugs.append(plug)
        self.heard_from = len(self.trace_text())
        self.qmp(
            "device_add",
            driver="usb-serial",
            id=adapter,
            chardev=adapter,
            bus="usb.0",
            port=str(1 + ADAPTERS.index(adapter)),  # always the same socket
            serial=serial,
            pcap=str(plug.capture),
        )
        self.plugged.add(adapter)
        self.opened = 0
        self.held.clear()
        return plug

    def unplug(self, adapter=ADAPTERS[0]):
        """Pulls an adapter out, and waits until QEMU has let it go."""
        self.plugged.discard(adapter)
        self.events.clear()
        self.qmp("device_del", id=adapter)

        def gone():
            self.qmp("query-status")
            return "DEVICE_DELETED" in self.events

        eventually("the adapter is gone", gone)

    def move_bus(self, adapter):
        """Connects the bus to another adapter, which a program has open."""
        self.adapter, self.opened = adapter, time.monotonic()
        self.held.clear()

    def send(self, octets):
        """Puts octets on the line. As with a wire, nobody waits for those who do not take them:
        an adapter that is not there, or that no program has opened since it was plugged in, or
        that is full."""
        if not self.hears():
            return
        self.held += octets
        held_back = self.opened + self.slowness * self.latency() / 1000 if self.slowness else 0
        if len(self.held) < 62 and time.monotonic() < held_back:
            return
        try:
            taken = self.lines[self.adapter].send(self.held, socket.MSG_DONTWAIT)
            self.wire += self.held[:taken]
        except BlockingIOError:
            pass
        except OSError as error:
            if self.qemu.poll() is None:
                raise error
        self.held.clear()

    def hears(self):
        """Whether the bus's adapter is plugged in, and one has been opened since the last plug."""
        is_plugged = self.adapter in self.plugged
        if is_plugged and not self.opened and "open" in self.words():
            self.opened = time.monotonic()
        return is_plugged and bool(self.opened)

    def latency(self):
        """The latency timer in ms as the driver has set it since the plug; the chip starts at 16,
        QEMU's at 0."""
        values = [w.split()[-1] for w in self.words() if w.startswith("latency timer")]
        return next((int(value) for value in reversed(values) if value != "0"), 16)

    def trace_text(self):
        return self.trace.read_text() if self.trace.exists() else ""

    def requests(self):
        """What the driver has asked of the adapter since the last plug: (time, words)."""
        found = []
        for line in self.trace_text()[self.heard_from :].splitlines():
            hit = re.match(r"(?:\S+@)?(\S+?):?\s*usb_serial_\w+ dev \d+:\d+ (.*)", line)
            if hit:
                found.append((float(hit.group(1)), in_words(hit.group(2))))
        return found

    def words(self):
        return [words for _, words in self.requests()]

    def read_line(self, line):
        try:
            while octets := line.recv(65536):
                self.sent_by_guest += octets
        except OSError:
            pass

    # ---- Programs in the guest

    def tell(self, kind, ident, data=b""):
        with self.lock:
            self.agent.sendall(AGENT_HEAD.pack(ord(kind), 0, ident, len(data)) + data)

    def spawn(self, *argv):
        ident = len(self.processes) + 1
        process = self.processes[ident] = Process(self, ident)
        self.tell("X", ident, b"".join(word.encode() + b"\0" for word in argv))
        return process

    def shell(self, script):
        """What a shell script printed, which must succeed."""
        process = self.spawn("/bin/sh", "-c", script)
        if code := process.wait():
            raise AssertionError(f"{script}: exit {code}: {process.stderr}")
        return process.stdout.decode(errors="replace")

    def read_agent(self):
        stream = self.agent.makefile("rb")
        while len(head := stream.read(AGENT_HEAD.size)) == AGENT_HEAD.size:
            kind, _, ident, length = AGENT_HEAD.unpack(head)
            data, process = stream.read(length), self.processes.get(ident)
            if kind == ord("R"):
                self.is_up.set()
            elif kind == ord("O"):
                process.out.append(data)
            elif kind == ord("o"):
                process.err.append(data)
            elif kind == ord("Q"):
                (process.status,) = struct.unpack("<i", data)
                process.ended.set()
        for process in self.processes.values():
            process.ended.set()


def in_words(request):
    """A request to FTDI's chip in words, where they are of interest here."""
    hit = re.match(r"got control 0x(\w+), value 0x(\w+)", request)
    code, value = (hit.group(1), int(hit.group(2), 16)) if hit else ("", 0)
    if code == "c00a":
        return "probe"  # where the driver asks for the latency timer
    if code == "4000" and value == 0:
        return "open"
    if code == "4001":
        lines = [
            (name, value >> bit & 1)
            for name, bit in (("DTR", 0), ("RTS", 1))
            if value >> bit + 8 & 1
        ]
        return " ".join(f"{name}={'on' if on else 'off'}" for name, on in lines)
    if code == "4009":
        return f"latency timer {value}"
    return request
