"""What talks over the network: the page and captures of --http, a broker for --mqtt."""

import http.client
import json
import socket
import subprocess
import tempfile

from harness import DEADLINE, TOKEN, Port, Program, eventually, fields, free_port, leave


def answer(port, path, **headers):
    """Status and body; a body that is cut off is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def client(port):
    """A reader of the packets, as curl is one."""
    command = ["curl", "-sN", f"http://127.0.0.1:{port}/live.pcapng"]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def a_page_its_figures_and_captures_are_served_over_http():
    port, address = Port(), free_port()
    args = ["--history", "600", "--http", str(address)]
    program = Program("COM5", "-b", "38400", *args, "-w", "page.pcapng")
    program.wait_for("reading mstp")
    port.send(TOKEN * 30)
    eventually(lambda: len(fields("-r", "page.pcapng")) == 30, "all is read")
    status, page = answer(address, "/")
    assert status == 200 and b"<html" in page and b"COM5" in page, page
    status, report = answer(address, "/report.json")
    assert status == 200 and json.loads(report), report
    status, metrics = answer(address, "/metrics")
    assert status == 200 and b"serialshark_port_up" in metrics, metrics
    status, health = answer(address, "/healthz")
    assert (status, health) == (200, b"ok\n"), health
    status, _ = answer(address, "/", Host="evil.example")
    assert status == 421, status
    status, capture = answer(address, "/capture.pcapng?last=10m")
    assert status == 200 and len(fields("-r", "-", input=capture)) == 30
    # A reader of packets as any other: it comes, reads, and that it leaves is seen on a quiet line.
    left = program.said().count("its reader left")
    live = client(address)
    assert len(fields("-r", "-", "-c", "30", stdin=live.stdout)) == 30
    leave(live)
    program.wait_for("its reader left", left + 1)
    # At the end what is under way is complete.
    whole = client(address)
    assert whole.stdout.read(4) == bytes.fromhex("0a0d0d0a")
    assert program.interrupt() == 0, program.said()
    whole.stdout.read()
    assert whole.wait(timeout=DEADLINE) == 0


def a_client_that_does_not_read_hurts_nobody():
    address = free_port()
    program = Program("sim:mstp", "--http", str(address), "--buffer-size", "1")
    program.wait_for("waiting for a reader")
    with socket.create_connection(("127.0.0.1", address)) as stalled:
        stalled.sendall(b"GET /live.pcapng HTTP/1.1\r\nHost: localhost\r\n\r\n")
        program.wait_for("a reader has come")
        live = client(address)
        assert len(fields("-r", "-", "-c", "40", stdin=live.stdout)) == 40
        leave(live)
        program.wait_for("its reader left")
        assert program.interrupt() == 0, program.said()


def a_broker_is_told():
    address, prefix = free_port(), "site/trunk"
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(f"listener {address} 127.0.0.1\nallow_anonymous true\n")
        settings.flush()
        broker = subprocess.Popen(["mosquitto", "-c", settings.name], stderr=subprocess.DEVNULL)
        try:
            heard_at_a_broker(broker, address, prefix)
        finally:
            broker.kill()
            broker.wait()


def heard_at_a_broker(broker, address, prefix):
    def listens():
        assert broker.poll() is None
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", address)) == 0

    def heard(topic):
        where = ["-h", "127.0.0.1", "-p", str(address), "-t", f"{prefix}/{topic}"]
        command = ["mosquitto_sub", *where, "-C", "1", "-W", str(DEADLINE)]
        return subprocess.run(command, capture_output=True, check=True).stdout.strip()

    eventually(listens, "the broker listens")
    program = Program("sim:mstp", "--mqtt", f"mqtt://127.0.0.1:{address}/{prefix}")
    assert heard("status") == b"online", program.said()
    assert json.loads(heard("report")), program.said()
    assert program.interrupt() == 0, program.said()
    assert heard("status") == b"offline", program.said()
