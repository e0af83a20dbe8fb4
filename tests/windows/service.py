"""A capture as a service, under the service control manager of Wine."""

import os
import subprocess

from harness import DEADLINE, WINE, Program, eventually, fields, has_trailer

PLACE = os.path.join(os.environ.get("WINEPREFIX", ""), "drive_c/ProgramData/serialshark")


def log():
    try:
        with open(os.path.join(PLACE, "trunk.log")) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def done(*args):
    program = Program("service", *args)
    assert program.end() == 0, program.said()


def net(word):
    return told("net", word)


def state():
    return told("sc", "query")


def told(program, word):
    command = [WINE, program, word, "serialshark-trunk"]
    said = subprocess.run(command, capture_output=True, timeout=DEADLINE, check=False).stdout
    return said.decode(errors="replace")


def rows():
    return sorted(name for name in os.listdir(PLACE) if name.endswith(".pcapng"))


def a_service_is_installed_started_stopped_and_removed():
    with open("trunk.toml", "w") as file:
        file.write('port = "sim:mstp"\nwrite = "trunk.pcapng"\nrotate-size = "1M"\n')
    done("install", "--config", "trunk.toml")
    again = Program("service", "install", "--config", "trunk.toml")
    assert again.end() == 1 and "is installed already" in again.said(), again.said()
    done("start", "trunk")
    eventually(lambda: len(rows()) == 1 and fields("-r", os.path.join(PLACE, rows()[0])), "packets")
    done("stop", "trunk")
    assert has_trailer(os.path.join(PLACE, rows()[0])) and "finished after" in log(), log()
    assert "started successfully" in net("start")
    eventually(lambda: len(rows()) == 2, "the next file")
    # The net of Wine waits neither for the one nor for the other.
    eventually(lambda: "RUNNING" in state(), "it runs")
    assert "stopped successfully" in net("stop")
    eventually(lambda: "STOPPED" in state(), "it has stopped")
    assert has_trailer(os.path.join(PLACE, rows()[1])), log()
    # What is wrong in a configuration shows in the log.
    with open("trunk.toml", "w") as file:
        file.write('port = "sim:mstp"\nrubbish = 1\n')
    failed = Program("service", "start", "trunk")
    assert failed.end() == 1 and "exit code 2" in failed.said(), failed.said()
    assert "rubbish" in log(), log()
    done("remove", "trunk")
    gone = Program("service", "start", "trunk")
    assert gone.end() == 1 and "is not installed" in gone.said(), gone.said()
