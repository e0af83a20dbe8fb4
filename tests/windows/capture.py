"""Ports, pipes, TCP and files."""

import os
import socket
import subprocess
import sys
import termios
import time

from harness import DEADLINE, PIPE, TOKEN, WINE, Port, Program, eventually, fields, has_trailer, leave, reader


def a_port_is_read_at_its_rate_and_ctrl_c_ends_it_with_a_trailer():
    for baud, speed in [(38400, termios.B38400), (115200, termios.B115200)]:
        port = Port()
        name = f"line{baud}.pcapng"
        program = Program("COM5", "-b", str(baud), "-w", name)
        eventually(lambda: port.speed() == speed, "the rate is set")
        program.wait_for("reading mstp")
        for sent in range(1, 31):
            port.send(TOKEN)
            time.sleep(0.01)
        eventually(lambda: len(fields("-r", name)) == 30, "all is in the file")
        assert program.interrupt() == 0, program.said()
        assert "30 packets framed = 30 delivered" in program.said(), program.said()
        assert has_trailer(name)


def a_reader_of_the_pipe_may_come_again_and_again():
    program = Program("sim:mstp", "--pipe", "sharkfin")
    program.wait_for("waiting for a reader")
    for _ in range(20):
        come = reader()
        header = come.stdout.read(24)
        assert header[:4] == bytes.fromhex("d4c3b2a1"), header
        leave(come)
    program.wait_for("its reader left", 20)
    come = reader()
    assert len(fields("-r", "-", "-c", "5", stdin=come.stdout)) == 5
    leave(come)
    assert program.interrupt() == 0, program.said()


def two_readers_at_once_and_a_stalled_one_hurts_nobody():
    program = Program("sim:mstp", "--fifo", PIPE, "--buffer-size", "1")
    program.wait_for("waiting for a reader")
    stalled = reader("60")
    program.wait_for("a reader has come")
    both = [reader(), reader()]
    program.wait_for("a reader has come", 3)
    for one in both:
        assert len(fields("-r", "-", "-c", "40", stdin=one.stdout)) == 40
        leave(one)
    leave(stalled)
    program.wait_for("its reader left", 3)
    assert program.interrupt() == 0, program.said()


def that_a_reader_leaves_is_seen_on_a_quiet_line():
    _port = Port()
    program = Program("COM5", "--pipe", "sharkfin")
    program.wait_for("waiting for a reader")
    come = reader()
    assert len(come.stdout.read(24)) == 24
    leave(come)
    program.wait_for("its reader left")
    assert program.interrupt() == 0, program.said()


def tcp_serves_and_is_read():
    program = Program("sim:mstp", "--tcp", "19377")
    program.wait_for("waiting for a reader")
    other = Program("tcp:127.0.0.1:19378", "-c", "10", "-w", "tcp.pcapng", "--wait")
    with socket.create_server(("127.0.0.1", 19378)) as server:
        server.settimeout(DEADLINE)
        connection, _ = server.accept()
        with connection:
            connection.sendall(TOKEN * 10)
            assert other.end() == 0, other.said()
    assert len(fields("-r", "tcp.pcapng")) == 10
    with socket.create_connection(("127.0.0.1", 19377)) as client:
        # tshark reads pipes, and no sockets.
        pump = subprocess.Popen(["cat"], stdin=client, stdout=subprocess.PIPE)
        assert len(fields("-r", "-", "-c", "5", stdin=pump.stdout)) == 5
        leave(pump)
    program.wait_for("its reader left")
    assert program.interrupt() == 0, program.said()


def a_replay_is_that_of_linux_octet_for_octet():
    linux = sys.argv[2]
    # pcap, since pcapng names the operating system.
    made = [linux, "sim:mstp", "-c", "50", "--record", "trunk.rec", "-w", "made.pcap"]
    subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
    args = ["trunk.rec", "-w"]
    subprocess.run([linux, *args, "linux.pcap"], check=True, stderr=subprocess.DEVNULL)
    program = Program(*args, "windows.pcap")
    assert program.end() == 0, program.said()
    files = []
    for name in ["linux.pcap", "windows.pcap"]:
        with open(name, "rb") as file:
            files.append(file.read())
    assert files[0] == files[1]


def files_rotate_and_the_oldest_goes():
    program = Program("sim:mstp", "-c", "200", "-w", "trunk.pcapng", "-C", "1k", "-W", "3")
    assert program.end() == 0, program.said()
    files = sorted(name for name in os.listdir() if name.startswith("trunk_"))
    assert len(files) == 3, files
    for name in files:
        assert fields("-r", name)


def standard_input_and_output_are_octets_as_they_are():
    command = [WINE, "serialshark.exe", "-", "-p", "mstp", "-w", "-"]
    done = subprocess.run(command, input=TOKEN * 20, capture_output=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert len(fields("-r", "-", input=done.stdout)) == 20


def a_file_may_be_read_and_renamed_while_it_is_written():
    program = Program("sim:mstp", "-w", "shared.pcapng")
    program.wait_for("reading mstp")
    command = [WINE, "cmd", "/c", "type shared.pcapng >nul && ren shared.pcapng kept.pcapng"]
    assert subprocess.run(command, capture_output=True, timeout=DEADLINE).returncode == 0
    before = len(fields("-r", "kept.pcapng"))
    eventually(lambda: len(fields("-r", "kept.pcapng")) > before, "it goes on")
    assert program.interrupt() == 0 and has_trailer("kept.pcapng"), program.said()


def a_port_that_goes_is_waited_for_and_read_again():
    port = Port()
    program = Program("COM5", "-b", "38400", "-w", "again.pcapng")
    program.wait_for("reading mstp")
    port.send(TOKEN)
    eventually(lambda: len(fields("-r", "again.pcapng")) == 1, "it is read")
    port.unplug()
    program.wait_for("waiting for its return")
    port = Port()
    program.wait_for("COM5: is back")
    port.send(TOKEN)
    eventually(lambda: len(fields("-r", "again.pcapng")) == 2, "it is read again")
    assert program.interrupt() == 0, program.said()
    port = Port()
    program = Program("COM5", "-b", "38400", "-w", "once.pcapng", "--once")
    program.wait_for("reading mstp")
    port.unplug()
    assert program.end() == 1 and has_trailer("once.pcapng"), program.said()


def a_port_in_use_is_waited_for():
    if os.path.lexists("com5"):
        os.remove("com5")
    # What nobody may write to. Windows says of a port in use what Wine says of this: access is denied.
    os.symlink("/sys/kernel/uevent_seqnum", "com5")
    refused = Program("COM5", "-w", "busy.pcapng")
    assert refused.end() == 1, refused.said()
    assert "COM5: cannot open: another program uses it\n" in refused.said(), refused.said()
    assert "hint: close the other program" in refused.said(), refused.said()
    program = Program("COM5", "-b", "38400", "-w", "busy.pcapng", "--wait")
    program.wait_for("another program uses it")
    port = Port()
    program.wait_for("reading mstp")
    port.send(TOKEN)
    eventually(lambda: len(fields("-r", "busy.pcapng")) == 1, "it is read")
    assert program.interrupt() == 0, program.said()


def a_rate_that_the_driver_does_not_take_is_told():
    port = Port()
    program = Program("COM5", "-b", "76800", "-p", "mstp", "-w", "rate.pcapng")
    program.wait_for("reading mstp")
    # Later releases of Wine do take it.
    taken = port.speed() not in (termios.B38400, termios.B115200, termios.B9600)
    assert taken or "asked for 76800 baud, the driver took " in program.said(), program.said()
    assert program.interrupt() == 0, program.said()
