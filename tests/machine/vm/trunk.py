"""A bus with octets on it, all of which can be told apart."""

import random
import re
import struct
import threading
import time

BAUD = 76800
PREAMBLE = b"\x55\xff\x06\xff\x03"  # and the type and addresses of all frames here


def crc(octets, polynomial, value):
    """CRC of MS/TP, bit by bit as the standard has it."""
    start = value
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return value ^ start


def frame(number):
    """A good frame that is like no other, with octets that mean something to a terminal."""
    content = struct.pack(">I", number) + b"\r\n\x03\x04\x11\x13"
    content += random.Random(number).randbytes(number % 32)
    header = PREAMBLE[2:] + struct.pack(">H", len(content))
    octets = b"\x55\xff" + header + bytes([crc(header, 0x81, 0xFF)])
    return octets + content + struct.pack("<H", crc(content, 0x8408, 0xFFFF))


def frames_in(octets):
    """The numbers of the frames that are wholly in `octets`."""
    found = []
    for hit in re.finditer(re.escape(PREAMBLE), octets, re.DOTALL):
        number = int.from_bytes(octets[hit.start() + 8 : hit.start() + 12], "big")
        if number < 1 << 24 and octets.startswith(frame(number), hit.start()):
            found.append(number)
    return found


class Trunk(threading.Thread):
    """A bus that never rests."""

    def __init__(self, rig):
        super().__init__(daemon=True)
        self.rig, self.stopping = rig, threading.Event()
        self.start()

    def run(self):
        start, sent, number, waiting = time.monotonic(), 0, 0, b""
        rate = BAUD / 10 / (self.rig.slowness or 1)
        while not self.stopping.wait(0.001):
            due = int((time.monotonic() - start) * rate) - sent
            while len(waiting) < due:
                waiting += frame(number)
                number += 1
            self.rig.send(waiting[:due])
            waiting, sent = waiting[due:], sent + due

    def stop(self):
        self.stopping.set()
        self.join()
