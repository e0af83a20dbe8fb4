"""Bad input: a line that says what is wrong, a hint, and an exit code."""

import os
import socket

from harness import Port, Program, fields


def what_is_wrong_is_said_in_a_line():
    port = Port()
    long = "x" * 300
    taken = socket.create_server(("127.0.0.1", 0))
    in_use = str(taken.getsockname()[1])
    for args, says, code in [
        (["COM77", "-w", "x.pcap"], "COM77: cannot open: ", 1),
        (["C:\\nowhere.bin"], "nowhere.bin: cannot open: ", 1),
        (["sim:mstp", "--fifo", r"\\.\pipe\a\b"], "is not the name of a pipe", 1),
        (["sim:mstp", "--pipe", "a/b"], "is not the name of a pipe", 1),
        (["sim:mstp", "--pipe", ""], "is not the name of a pipe", 1),
        (["sim:mstp", "--pipe", long], "is not the name of a pipe", 1),
        (["sim:mstp", "--fifo", "/tmp/sharkfin"], "is not the name of a pipe", 1),
        (["sim:mstp", "--pipe", "a", "--pipe", "A"], "the same output is named twice", 2),
        (["sim:mstp", "--tcp", in_use], "hint: another program listens there", 1),
        (["sim:mstp", "--http", in_use], "hint: another program listens there", 1),
        (["sim:mstp", "--http", "192.0.2.1:80"], "hint: no address of this machine", 1),
        (["sim:mstp", "--http", "0", "--http-token", "none"], "none: cannot read: ", 1),
        (["COM7", r"x\COM7", "--mqtt", "mqtt://h/{port}"], "would both be COM7", 2),
        (["nats://127.0.0.1/a.b"], "NATS is not part of this serialshark", 2),
        (["sim:mstp", "--nats", "nats://h/a.b"], "--nats is not part of this serialshark", 2),
        (["sim:mstp", "-w", "."], "hint: name a file in it", 1),
        (["unix:x.sock"], "hint: use tcp:HOST:PORT", 1),
        (["sim:mstp", "-w", "x.pcap", "--mode", "600"], "hint: leave out --group and --mode", 1),
        (["sim:mstp", "-w", "x.pcap", "-C", "1k", "--compress"], "--compress needs gzip", 2),
        (["sim:mstp", "--unix", "x.sock"], "serialshark makes no Unix sockets", 1),
        (["sim:mstp", "-w", "x.pcap", "--group", "users"], "no groups for files on Windows", 2),
        (["sim:mstp", "-w", r"Q:\x.pcap"], "hint: there is no drive Q:", 1),
        (["sim:mstp", "-w", r"Q:\x.pcap", "-C", "1k"], "hint: there is no drive Q:", 1),
        (["sim:mstp", "-w", r"no\x.pcap"], 'hint: mkdir "no"', 1),
        (["sim:mstp", "-w", "CON"], "is the name of a device", 1),
        (["sim:mstp", "-w", "COM5"], "packets are never written to a bus", 1),
        (["sim:mstp", "-w", "com5.pcapng"], "packets are never written to a bus", 1),
        (["sim:mstp", "-w", r"folder\COM5.a.pcap", "-C", "1k"], "never written to a bus", 1),
        (["sim:mstp", "--record", "Com5 .rec"], "never written to a bus", 1),
        (["sim:mstp", "--log-file", "COM5.log"], "never written to a bus", 1),
        (["sim:mstp", "-w", "nul.pcapng"], "is the name of a device", 1),
        (["sim:mstp", "-w", r"\\.\pipe\sharkfin"], "for a named pipe: --pipe NAME", 1),
        (["sim:mstp", "-w", "a<b.pcap"], "a<b.pcap: cannot write: ", 1),
        (["sim:mstp", "-w", "a<b.pcap", "-C", "1k"], "hint: choose another name", 1),
        (["sim:mstp", "-w", long + ".pcap"], "cannot write: ", 1),
        (["--config", r"Q:\x.toml"], "cannot read: ", 2),
        (["service", "start", "a b"], "letters, digits", 2),
        (["service", "install", "--config", "no.toml"], "no.toml: cannot read: ", 1),
        (["service", "run", "--name", "a", "--config", "b", "--folder", "c"], "for Windows to call", 1),
    ]:
        program = Program(*args)
        assert program.end() == code, (args, program.said())
        assert says in program.said(), (args, program.said())
        assert len(program.said().splitlines()) <= 12, program.said()
        assert code == 2 or "\n  hint: " in program.said(), program.said()
    taken.close()
    # Not one octet went onto the bus.
    os.set_blocking(port.master, False)
    try:
        assert not os.read(port.master, 100)
    except BlockingIOError:
        pass


def long_paths_and_names_in_other_letters_are_written():
    folder = "\\".join(["Ordner mit Umläuten äöü"] * 12)
    os.makedirs(folder.replace("\\", "/"))
    for rotated in [[], ["-C", "1k"]]:
        program = Program("sim:mstp", "-c", "50", "-w", folder + "\\λ.pcapng", *rotated)
        assert program.end() == 0, program.said()
    names = os.listdir(folder.replace("\\", "/"))
    assert len(names) > 2 and all(name.startswith("λ") for name in names), names
    assert len(fields("-r", folder.replace("\\", "/") + "/λ.pcapng")) == 50
    nothing = Program("sim:mstp", "-c", "5", "-w", "NUL")
    assert nothing.end() == 0, nothing.said()
