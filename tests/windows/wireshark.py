"""Wireshark started by us, and we by Wireshark: a stand-in for it is wireshark.c."""

import io
import os
import shutil
import subprocess

from harness import DEADLINE, TOKEN, WINE, Port, Program, fields

PLACE = "Prögramme für alle"
APP_PATH = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\Wireshark.exe"


def elsewhere(program, name):
    """The path of a copy of this program, in a folder with a space and an umlaut."""
    os.makedirs(PLACE, exist_ok=True)
    shutil.copy(program, os.path.join(PLACE, name))
    return f"{PLACE}\\{name}"


def registry(*args):
    subprocess.run([WINE, "reg", *args, "/f"], capture_output=True, timeout=DEADLINE, check=True)


def packets(octets):
    """How many there are, of what may be cut off behind them."""
    command = ["tshark", "-r", "-", "-T", "fields", "-e", "frame.number"]
    done = subprocess.run(command, input=octets, capture_output=True, timeout=DEADLINE, check=False)
    return len(done.stdout.splitlines())


def it_is_started_on_a_pipe_and_both_end_together():
    option = "--wireshark=" + elsewhere("wireshark.exe", "Wireshark.exe")
    closed = Program("sim:mstp", option, OCTETS="2000")
    shown = closed.output()
    assert packets(shown) > 20 and closed.end() == 0, closed.said()
    open_ = Program("sim:mstp", option)
    open_.wait_for("a reader has come")
    assert open_.interrupt() == 0 and "0 abandoned" in open_.said(), open_.said()


def it_is_found_where_it_is_installed():
    missing = Program("sim:mstp", "--wireshark", "-c", "1")
    assert b" > " in missing.output() and missing.end() == 0, missing.said()
    assert "wireshark: is not installed" in missing.said(), missing.said()
    path = "Z:" + os.path.abspath(elsewhere("wireshark.exe", "Wireshark.exe")).replace("/", "\\")
    registry("add", APP_PATH, "/ve", "/t", "REG_SZ", "/d", path)
    found = Program("sim:mstp", "--wireshark", OCTETS="2000")
    assert packets(found.output()) > 20 and found.end() == 0, found.said()
    registry("delete", APP_PATH)
    usual = os.path.join(os.environ["WINEPREFIX"], "drive_c/Program Files/Wireshark")
    os.makedirs(usual)
    shutil.copy("wireshark.exe", os.path.join(usual, "Wireshark.exe"))
    found = Program("sim:mstp", "--wireshark", OCTETS="2000")
    assert packets(found.output()) > 20 and found.end() == 0, found.said()
    shutil.rmtree(usual)


def an_extcap_ends_with_its_pipe_on_a_quiet_line_too():
    path = elsewhere("serialshark.exe", "serialshark.exe")
    busy = Program(path, "serialshark-sim-mstp", "3000", program="wireshark.exe")
    assert packets(busy.output()) > 20 and busy.end() == 0, busy.said()
    _port = Port()
    args = [path, "serialshark-COM5", "100", "--protocol", "mstp", "--baud", "38400"]
    quiet = Program(*args, program="wireshark.exe")
    assert quiet.output()[:4] == bytes.fromhex("0a0d0d0a") and quiet.end() == 0, quiet.said()


def a_pipe_of_another_program_is_not_taken():
    path = elsewhere("serialshark.exe", "serialshark.exe")
    # One instance, and it is in use: what Wine refuses as well.
    host = Program(path, "serialshark-sim-mstp", "100000000", program="wireshark.exe")
    assert host.process.stdout.read(4) == bytes.fromhex("0a0d0d0a")
    name = r"\\.\pipe\wireshark_extcap_serialshark_20261128"
    refused = Program("sim:mstp", "--fifo", name)
    assert refused.end() == 1 and "cannot make the pipe: " in refused.said(), refused.said()
    assert "hint: another program has a pipe of this name" in refused.said(), refused.said()
    host.process.kill()
    host.end()


def the_program_is_copied_to_where_wireshark_looks():
    path = elsewhere("serialshark.exe", "serialshark.exe")
    for word, says in [
        ("--install", "copied from"),
        ("--install", "is a copy of"),
        ("--uninstall", "removed"),
        ("--uninstall", "is not there"),
    ]:
        program = Program("extcap", word, program=path)
        assert program.end() == 0 and says in program.said(), program.said()
    listed = Program("--extcap-interfaces", program=path)
    assert b"{value=serialshark-COM5}" in listed.output() and listed.end() == 0
    assert listed.said() == "", listed.said()
