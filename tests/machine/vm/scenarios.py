#!/usr/bin/env python3
"""What happens to serialshark when a real driver's port is opened, pulled out and put back.

    scenarios.py PROGRAM CACHE SCENARIO     as tests/machine/vm.rs runs them; exit 77: no machine here

Judged by what QEMU saw on the USB: which octets came to the driver, which went onto the bus.
"""

import json
import os
import random
import re
import statistics
import struct
import sys
import time
from pathlib import Path

from image import Unavailable
from rig import ADAPTERS, Rig, eventually
from trunk import BAUD, Trunk, frames_in

RULES = Path(__file__).resolve().parents[3] / "udev" / "60-serialshark.rules"
# What udev's own rules and ours call the adapter.
BY_ID = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_RIG00001-if00-port0"
STABLE = "/dev/serialshark/ft232r-RIG00001"
# And one of those without a serial number.
TWINS = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL-if00-port0"


class Capture:
    """serialshark on a port, with a FIFO and its one reader, and a recording of what it read."""

    def __init__(self, rig, port, *options):
        self.rig = rig
        self.program = rig.spawn(
            *("/bin/serialshark", port, "-b", str(BAUD)),
            *("--fifo", self.FIFO, "--record", self.RECORDING, *options),
        )
        self.program.wait_for("reading mstp")
        self.reader = self.one_more_reader()
        # From here on all that is read goes to the reader too.
        self.trunk = Trunk(rig)

    FIFO = "/run/sharkfin"
    RECORDING = "/run/recording"

    def one_more_reader(self):
        count = self.program.stderr.count("a reader has come")
        reader = self.rig.spawn("/bin/cat", self.FIFO)
        self.program.wait_for("a reader has come", count + 1)
        return reader

    def hear(self, octets=600, reader=None):
        """Waits until so many more octets have come out of the FIFO."""
        reader = reader or self.reader
        enough = len(reader.stdout) + octets
        eventually("traffic in the FIFO", lambda: len(reader.stdout) >= enough)

    def pull(self):
        """Pulls the adapter out; returns when the program has said so."""
        count = self.program.stderr.count("waiting for its return")
        self.rig.unplug()
        self.program.wait_for("waiting for its return", count + 1)

    def replug(self):
        """Puts the adapter back; returns when the program reads it."""
        count = self.program.stderr.count("is back")
        self.rig.plug()
        self.program.wait_for("is back", count + 1)

    def end(self):
        """Ends all; returns what was read from each plug, by the recording."""
        self.trunk.stop()
        self.stop()
        assert self.reader.wait() == 0
        recording = self.rig.spawn("/bin/cat", self.RECORDING)
        assert recording.wait() == 0
        return segments(recording.stdout)

    def stop(self):
        assert self.program.terminate() == 0, self.program.stderr

    def records(self):
        """The packets of the stream: one header, and whole records only."""
        stream = self.reader.stdout
        magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHiIII", stream)
        assert (magic, link_type) == (0xA1B2C3D4, 165)
        at, records = 24, []
        while at < len(stream):
            seconds, micros, length, original = struct.unpack_from("<IIII", stream, at)
            octets = stream[at + 16 : at + 16 + length]
            assert len(octets) == length <= original and micros < 1_000_000, "no whole record"
            records.append((seconds + micros / 1e6, octets))
            at += 16 + length
        return records


class Service(Capture):
    """serialshark@NAME as the package has it, run by systemd; what it says is in the journal."""

    def __init__(self, rig, name, port, **settings):
        self.rig, self.unit = rig, f"serialshark@{name}"
        self.FIFO, self.RECORDING = f"/run/serialshark/{name}.fifo", f"/var/log/serialshark/{name}"
        settings = {"port": port, "record": name, **settings}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines = "\n".join(lines)
        rig.shell(f"cat >/etc/serialshark/{name}.toml <<'TOML'\n{lines}\nTOML")
        self.program = rig.spawn(
            *("/bin/sh", "-c", f"exec journalctl -f -n all -o cat -u {self.unit} >&2")
        )

    def start(self):
        self.rig.shell(f"systemctl start {self.unit}")

    def listen(self):
        """Puts the bus on the line, and waits until what is on it has come out."""
        self.reader = self.one_more_reader()
        self.trunk = Trunk(self.rig)
        self.hear()

    def shown(self, *properties):
        """What systemd says of it."""
        names = ",".join(properties)
        lines = self.rig.shell(f"systemctl show -p {names} {self.unit}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def stop(self):
        """Ends it; all the time it was one process, and not started again."""
        assert self.shown("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
        self.rig.shell(f"systemctl stop {self.unit}")
        self.program.wait_for("Stopped ")
        self.program.kill(15)
        self.program.wait()
        ending = self.shown("Result", "ExecMainStatus")
        assert ending == {"Result": "success", "ExecMainStatus": "0"}


def noted(stream):
    """The packets of a pcapng stream of whole blocks: (seconds, comment)."""
    at, found = 0, []
    while at < len(stream):
        kind, length = struct.unpack_from("<II", stream, at)
        assert at + length <= len(stream), "no whole block"
        if kind == 6:
            high, low, captured = struct.unpack_from("<III", stream, at + 12)
            option, end = at + 28 + (captured + 3) // 4 * 4, at + length - 4
            comment = ""
            while option < end:
                code, size = struct.unpack_from("<HH", stream, option)
                if code == 1:
                    comment = stream[option + 4 : option + 4 + size].decode()
                option += 4 + (size + 3) // 4 * 4
            found.append(((high << 32 | low) / 1e9, comment))
        at += length
    return found


def segments(recording):
    """What the program read between each return of the port and its next going."""
    at = recording.index(b"\n", recording.index(b"\n") + 1) + 1
    found = [b""]
    while at < len(recording):
        kind, _, length = struct.unpack_from("<cQI", recording, at)
        octets = recording[at + 13 : at + 13 + length]
        assert len(octets) == length
        at += 13 + length
        if kind == b"O":
            found[-1] += octets
        elif kind == b"B":
            found.append(b"")
    return found


# ---- The scenarios


def check(capture, read):
    """All that was read is in the stream, as it was on the line; returns what was lost before."""
    cost = []
    for plug, octets in zip(capture.rig.plugs, read, strict=True):
        received = plug.received()
        at = received.find(octets)
        assert at >= 0, f"{octets.hex()} was read, but {received.hex()} came over the USB"
        cost.append((at, len(received) - at - len(octets)))
    times, records = zip(*capture.records(), strict=True)
    assert list(times) == sorted(times)
    # Nothing is invented, nothing is reordered, and each whole frame is there once.
    line, at = b"".join(read), 0
    for record in records:
        at = line.index(record, at) + len(record)
    expected = [number for octets in read for number in frames_in(octets)]
    found = [number for record in records for number in frames_in(record)]
    assert found == expected, f"{found} in the stream, {expected} on the line"
    # The program's own account.
    numbers = re.search(
        r"(\d+) frames, (\d+) damaged; (\d+) octets = (\d+) in frames \+ (\d+) in damaged ones"
        r" \+ (\d+) padding \+ (\d+) skipped",
        capture.program.stderr,
    ).groups()
    frames, damaged, octets, good, bad, padding, skipped = map(int, numbers)
    assert (frames, octets) == (len(records), len(line))
    assert (frames - damaged, padding) == (len(expected), 0)
    assert good + bad == sum(map(len, records)) and good + bad + skipped == octets
    return cost


def plug(rig, name):
    """Plugs the adapter in and waits for its name."""
    rig.plug()
    rig.shell(f"until [ -e {name} ]; do usleep 10000; done")
    if rig.rules:
        rig.shell("udevadm settle")


def processor_share(rig, seconds=2):
    """What all threads of the program use of the processor, by the guest's scheduler."""
    look = "cat /proc/$(pidof serialshark)/task/*/schedstat"
    before, after = rig.shell(f"{look}; echo; sleep {seconds}; {look}").split("\n\n")
    used = [sum(int(line.split()[0]) for line in p.splitlines()) for p in (before, after)]
    return (used[1] - used[0]) / 1e9 / seconds


def pulled_under_traffic(boot):
    """What a pull costs is what is in flight; nothing else changes for the reader."""
    pulls = int(os.environ.get("VM_PULLS", "10"))
    with boot() as rig:
        plug(rig, "/dev/ttyUSB0")
        capture, back = Capture(rig, "/dev/ttyUSB0"), []
        for pull in range(pulls):
            capture.hear()
            time.sleep(random.Random(pull).random() / 50)
            capture.pull()
            if pull == 0:
                idle = statistics.median(processor_share(rig) for _ in range(5))
                assert idle < 0.01, f"{idle:.2%} of the processor used while waiting"
            capture.replug()
            # Closed in time, so that the kernel had the name to give again.
            assert rig.shell("ls /dev | grep ttyUSB") == "ttyUSB0\n"
            requests = rig.requests()
            words = rig.words()
            opened = words.index("open", words.index("probe"))
            back.append(requests[opened][0] - requests[words.index("probe")][0])
            asked = words[opened:]
            # The kernel raises both lines at the open.
            assert asked.index("DTR=on RTS=on") < asked.index("RTS=off") < asked.index("DTR=off")
            assert asked.index("DTR=off") < asked.index("baud rate 76677")
            assert asked[-1] == "latency timer 1", asked
        capture.hear()
        capture.pull()
        cost = check(capture, capture.end())
        stderr = capture.program.stderr
        assert stderr.count("warn:") == stderr.count("waiting for its return") == pulls + 1
        assert stderr.count("a reader has come") == 1
        print(f"octets thrown away at each open: {[at for at, _ in cost]}")
        print(f"octets unread at each unplug: {[unread for _, unread in cost]}")
        print(f"octets echoed before raw mode: {[len(plug.sent()) for plug in rig.plugs]}")
        print(f"from the driver's probe to our open: {statistics.median(back):.3f} s (median)")
        print(f"processor used while unplugged: {idle:.3%} (median)")
        # What is in the driver's two transfers of 512 octets the kernel drops at a hangup.
        assert max(unread for _, unread in cost) <= 1024
        # At once, and not when a timer tells to look again.
        assert statistics.median(back) < 0.5


def raw_at_the_plug(boot):
    """By the name that the rules give it a port is raw from the first moment: nothing that is on
    the line is echoed, changed or thrown away when serialshark opens it."""
    with boot(rules=[RULES]) as rig:
        plug(rig, STABLE)
        assert rig.shell("stat -c '%a %G' /dev/ttyUSB0") == "660 dialout\n"
        properties = rig.shell("udevadm info /dev/ttyUSB0").splitlines()
        assert "E: ID_MM_DEVICE_IGNORE=1" in properties
        assert "E: SYSTEMD_WANTS=serialshark@ft232r-RIG00001.service" in properties
        sysfs = "/sys/bus/usb-serial/devices/ttyUSB0/latency_timer"
        assert rig.shell(f"cat {sysfs}") == "1\n"
        capture = Capture(rig, STABLE)
        line = r"/dev/ttyUSB0 +ft232r +RIG00001 +serialshark\[\d+\] +QEMU USB SERIAL"
        ports = rig.shell("serialshark ports")
        assert re.search(line, ports), ports
        for _ in range(10):
            capture.hear()
            capture.pull()
            capture.replug()
        capture.hear()
        capture.pull()
        cost = check(capture, capture.end())
        sent = sum(len(plug.sent()) for plug in rig.plugs)
        print(f"octets echoed at the plug, before serialshark: {len(rig.sent_by_guest) - sent}")
        assert sent == 0
        assert [at for at, _ in cost] == [0] * len(cost)


def not_one_octet_onto_the_bus(boot):
    """With a chip that keeps octets for its latency time there is time enough for raw mode, on a
    port that serialshark opens as it is, and on one that the rules prepare."""
    for rules, name in ((None, "/dev/ttyUSB0"), ([RULES], STABLE)):
        with boot(rules=rules, slowness=50) as rig:
            plug(rig, name)
            capture = Capture(rig, name)
            for _ in range(5):
                capture.hear(100)
                capture.pull()
                capture.replug()
            capture.hear(100)
            capture.pull()
            check(capture, capture.end())
            assert rig.sent_by_guest == b"", f"with {rules}: {rig.sent_by_guest.hex()}"


def another_number(boot):
    """Somebody else holds the old port, so that the kernel must give the adapter a new number."""
    with boot(rules=[RULES]) as rig:
        plug(rig, BY_ID)
        capture = Capture(rig, BY_ID)
        capture.hear()
        rig.spawn("/bin/sh", "-c", "trap '' HUP; exec sleep 1000 </dev/ttyUSB0")
        rig.shell("until ls -l /proc/$(pidof sleep)/fd | grep ttyUSB0; do usleep 10000; done")
        start = time.monotonic()
        capture.pull()
        capture.replug()
        took = time.monotonic() - start
        links = rig.shell(f"readlink -f {BY_ID}; readlink -f {STABLE}")
        assert links == "/dev/ttyUSB1\n" * 2
        print(f"found again after {took:.3f} s")
        capture.hear()
        capture.pull()
        check(capture, capture.end())


def waited_for_and_told_of(boot):
    """A port that is not there yet, one that goes, and a wall clock that is set, both ways."""

    def set_clock(hours):
        rig.shell(f"date -s @$(($(date +%s) + {hours} * 3600)) >/dev/null")

    with boot() as rig:
        start = time.monotonic()
        program = rig.spawn("/bin/serialshark", "/dev/ttyUSB0", "--once", "--wait", "-w", "/run/a")
        program.wait_for("not there; waiting")
        rig.plug()
        program.wait_for("appeared after")
        rig.unplug()
        assert program.wait() == 1 and "/dev/ttyUSB0: is gone" in program.stderr, program.stderr

        plug(rig, "/dev/ttyUSB0")
        capture = Capture(rig, "/dev/ttyUSB0", "--format", "pcapng")
        capture.hear()
        set_clock(1)
        capture.program.wait_for("the clock was set forward by")
        capture.hear()
        set_clock(-1)
        capture.program.wait_for("the clock was set back by")
        capture.hear()
        later = capture.one_more_reader()
        capture.hear(reader=later)
        now = int(rig.shell("date +%s"))
        capture.pull()
        capture.replug()
        capture.hear()
        capture.end()
        took = time.monotonic() - start

    packets = noted(capture.reader.stdout)
    times = [seconds for seconds, _ in packets]
    assert times == sorted(times)
    # The guest is slow: the clock goes on between the look at it and its setting.
    for words in (r"forward by 3(59\d|600)", r"back by 3(59\d|60\d)", r"port gone for \d+\.\d+ s"):
        told = [n for n, (_, comment) in enumerate(packets) if re.search(words, comment)]
        assert len(told) == 1, f"{words}: told {len(told)} times"
        at = told[0]
        # Forward it goes at once; back not at all, which the next reader's stream does.
        hour = 3600 if words.startswith("forward") else 0
        assert hour - 10 <= times[at] - times[at - 1] <= hour + took, f"{words}: {packets[at]}"
    assert abs(noted(later.stdout)[0][0] - now) < took


def commands_after_each_plug(boot):
    """A sniffer that was without power knows nothing of what it was told before."""
    with boot() as rig:
        plug(rig, "/dev/ttyUSB0")
        options = ("-p", "pinoccio", "--channel", "15")
        program = rig.spawn("/bin/serialshark", "/dev/ttyUSB0", *options)
        for pull in range(1, 4):
            eventually("commands", lambda pull=pull: rig.sent_by_guest.count(b"!") == pull)
            assert "RTS=off" not in rig.words()
            rig.unplug()
            program.wait_for("waiting for its return", pull)
            rig.plug()
            program.wait_for("is back", pull)
        assert [plug.sent() for plug in rig.plugs[:3]] == [b"B250C15!"] * 3


def lines_as_asked_for(boot):
    """DTR and RTS: off where nothing else is said, each as asked for, or as the kernel has them."""
    with boot() as rig:
        plug(rig, "/dev/ttyUSB0")
        for options, set_to in {
            (): ["RTS=off", "DTR=off"],
            ("--rts", "keep"): ["DTR=off"],
            ("--dtr", "on"): ["RTS=off", "DTR=on"],
            ("--dtr", "keep", "--rts", "on"): ["RTS=on"],
            ("--dtr", "keep", "--rts", "keep"): [],
        }.items():
            before = len(rig.words())
            program = rig.spawn("/bin/serialshark", "/dev/ttyUSB0", *options)
            program.wait_for("reading mstp")
            asked = [word for word in rig.words()[before:] if "DTR" in word or "RTS" in word]
            # The kernel raises both at the open, and drops both at the last close.
            assert asked == ["DTR=on RTS=on", *set_to], f"{options}: {asked}"
            assert program.terminate() == 0


def a_driver_that_is_taken_away(boot):
    """brltty detaches the driver of an adapter that it takes for a Braille display, soon after the
    plug; then that is told. Later it is a pull like any other."""
    interface = "$(basename $(readlink -f /sys/class/tty/ttyUSB0/device/..))"
    with boot() as rig:
        plug(rig, "/dev/ttyUSB0")
        program = rig.spawn("/bin/serialshark", "/dev/ttyUSB0")
        program.wait_for("reading mstp")
        detached = rig.shell(
            f"at={interface}; echo $at >/sys/bus/usb/drivers/ftdi_sio/unbind; echo $at"
        )
        program.wait_for("after it was opened; brltty takes such adapters away")
        rig.shell(f"echo {detached.strip()} >/sys/bus/usb/drivers/ftdi_sio/bind")
        program.wait_for("is back")
        # As soon, but the adapter itself is gone.
        rig.unplug()
        program.wait_for("waiting for its return", 2)
        assert program.stderr.count("brltty") == 1, program.stderr
        assert program.terminate() == 0


def told(stream, words):
    """The times of the packets of a pcapng stream whose comment has these words."""
    return [seconds for seconds, comment in noted(stream) if re.search(words, comment)]


def a_service_before_its_driver(boot):
    """The service runs before anything has loaded the adapter's driver, which udevd does at the
    plug: the service may open the port all the same. Then a pull and a return."""
    with boot(systemd=True) as rig:
        assert "ftdi_sio" not in rig.shell("lsmod")
        assert "ttyUSB" not in rig.shell("cat /proc/devices")
        service = Service(rig, "trunk", STABLE, baud=BAUD)
        service.start()
        service.program.wait_for("waiting for it to appear")
        policy = service.shown("DevicePolicy", "ActiveState", "StatusText")
        assert (policy["DevicePolicy"], policy["ActiveState"]) == ("closed", "active"), policy
        assert "ftdi_sio" not in rig.shell("lsmod")
        rig.plug()
        service.program.wait_for("appeared after")
        assert "ftdi_sio" in rig.shell("lsmod")
        service.listen()
        for _ in range(3):
            service.pull()
            service.replug()
            service.hear()
        service.pull()
        absent, *read = service.end()
        assert absent == b""
        check(service, read)


def a_plug_starts_its_service(boot):
    """The rules have systemd start the service of an adapter that has a configuration; a pull
    ends neither the service nor the reader's stream, where the gap is told."""
    with boot(systemd=True) as rig:
        name = Path(STABLE).name
        service = Service(rig, name, STABLE, baud=BAUD, format="pcapng")
        plug(rig, STABLE)
        service.program.wait_for("reading mstp")
        assert service.shown("ActiveState")["ActiveState"] == "active"
        # Only serial ports, for the service: what systemd says of it, and what the kernel does.
        pid = service.shown("MainPID")["MainPID"]
        status = dict(
            line.split(":\t") for line in rig.shell(f"cat /proc/{pid}/status").splitlines()
        )
        assert (status["CapEff"], status["NoNewPrivs"], status["Seccomp"]) == ("0" * 16, "1", "2")
        service.listen()
        service.pull()
        service.replug()
        service.hear()
        service.end()
        stream = service.reader.stdout
        assert len(told(stream, r"port gone for \d+\.\d+ s")) == 1
        assert told(stream, "a different adapter") == []


def twins(rig):
    """Plugs in two adapters without serial numbers; the one that has their common name, and the
    other one, on whose line the bus is not."""
    for number, adapter in enumerate(ADAPTERS):
        rig.plug(serial="", adapter=adapter)
        rig.shell(f"until [ -e /dev/ttyUSB{number} ]; do usleep 10000; done; udevadm settle")
    rig.adapter = ADAPTERS[int(rig.shell(f"readlink -f {TWINS}").strip()[-1])]
    return rig.adapter, next(adapter for adapter in ADAPTERS if adapter != rig.adapter)


def one_link_for_two(boot):
    """Of two adapters without serial numbers one has their common name; when it is pulled out,
    the name is the other's. That it is another one is told, and the capture goes on."""
    with boot(systemd=True) as rig:
        first, second = twins(rig)
        # Both are advised by their places: the common name may be either's.
        advised = re.findall(r"serialshark (/dev/\S+)", rig.shell("serialshark ports"))
        places = {name for name in advised if name.startswith("/dev/serial/by-path/")}
        assert len(advised) == len(places) == 2, advised
        service = Service(rig, "any", TWINS, baud=BAUD, format="pcapng")
        service.start()
        service.program.wait_for("reading mstp")
        service.listen()
        rig.unplug(first)
        service.program.wait_for("is a different adapter now: QEMU USB SERIAL (0403:6001, at 1-")
        rig.move_bus(second)
        service.hear()
        service.end()
        stream = service.reader.stdout
        assert len(told(stream, r"port gone for \d+\.\d+ s")) == 1
        assert len(told(stream, "a different adapter")) == 1


def the_same_adapter_is_waited_for(boot):
    """As before, for a user who wants none but that adapter: the other one is left alone."""
    with boot(systemd=True) as rig:
        first, second = twins(rig)
        settings = {"baud": BAUD, "format": "pcapng", "same-adapter": True}
        service = Service(rig, "one", TWINS, **settings)
        service.start()
        service.program.wait_for("reading mstp")
        service.listen()
        before = len(rig.words())
        rig.unplug(first)
        service.program.wait_for("), waiting for ")
        assert "open" not in rig.words()[before:], rig.words()
        rig.unplug(second)
        rig.plug(serial="", adapter=first)
        service.program.wait_for("is back after")
        service.hear()
        service.end()
        stream = service.reader.stdout
        assert len(told(stream, r"port gone for \d+\.\d+ s")) == 1
        assert told(stream, "a different adapter") == []


def holding(rig, program):
    """Waits until the only process of this program has the port open; its number."""
    look = f"ls -l /proc/$(pidof {program})/fd 2>&1 | grep -q ttyUSB0"
    rig.shell(f"until {look}; do usleep 10000; done")
    return int(rig.shell(f"pidof {program}"))


def what_another_program_has(boot):
    """A port that another program has is not even opened, which would raise DTR and RTS. When
    that program ends, it is the service's."""
    holders = {
        "flock -F /dev/ttyUSB0 sleep 1000": "sleep",
        "serialshark /dev/ttyUSB0": "serialshark",
        "sh -c 'echo $$ >/run/lock/LCK..ttyUSB0; exec cat /dev/ttyUSB0'": "cat",
    }
    with boot(systemd=True) as rig:
        plug(rig, STABLE)
        for number, (hold, program) in enumerate(holders.items()):
            service = Service(rig, f"trunk-{number}", STABLE, baud=BAUD)
            holder = rig.spawn("/bin/sh", "-c", f"{hold} & wait")
            pid = holding(rig, program)
            if "serialshark" in hold:
                holder.wait_for("reading mstp")
            before = len(rig.words())
            service.start()
            service.program.wait_for("waiting for it to appear")
            assert rig.words()[before:] == [], f"{hold}: {rig.words()[before:]}"
            rig.shell(f"kill {pid}")
            holder.wait()
            service.program.wait_for("appeared after")
            service.listen()
            service.end()

        # Where the lock cannot be seen the port has to be opened to find it; once a second.
        service = Service(rig, "blind", STABLE, baud=BAUD)
        extra = f"/run/systemd/system/{service.unit}.service.d"
        rig.shell(f"mkdir -p {extra}; printf '[Service]\\nProcSubset=pid\\n' >{extra}/blind.conf")
        rig.shell("systemctl daemon-reload")
        holder = rig.spawn("/bin/flock", "-F", "/dev/ttyUSB0", "sleep", "1000")
        holding(rig, "sleep")
        before = len(rig.words())
        service.start()
        service.program.wait_for("cannot open: another program uses it")  # for a second already
        opened = rig.words()[before:].count("DTR=on RTS=on")
        print(f"opened to find a lock that cannot be seen: {opened} times in a second")
        assert opened <= 4
        holder.terminate()
        service.program.wait_for("appeared after")
        service.listen()
        service.end()


def main():
    program, cache, name = sys.argv[1:]
    scenario = globals()[name]

    rigs = []

    def boot(**options):
        rigs.append(Rig(program, cache, **options))
        return rigs[-1]

    for machine in range(3):
        try:
            return scenario(boot)
        except Unavailable as reason:
            print(reason, file=sys.stderr)
            sys.exit(77)
        except Exception:
            # QEMU 7.2 crashes at an unplug now and then: that says nothing of what is tested here.
            if machine == 2 or not rigs[-1].crashed:
                raise
            print(f"QEMU has crashed in {name}: with another machine", file=sys.stderr)


if __name__ == "__main__":
    main()
