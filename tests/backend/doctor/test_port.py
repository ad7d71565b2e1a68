"""Who answers on the port: nobody, our server, another program, one that keeps silent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from backend.doctor.checks import port
from backend.doctor.findings import Finding, Status
from tests.support.doctor_findings import by_name, inputs_for


def check(number: int, host: str = "127.0.0.1", **sections: dict[str, object]) -> Finding:
    inputs = inputs_for(server={"host": host, "port": number}, **sections)
    return by_name(port.run(inputs))["server"]


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """A web server that gives every request this answer; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def readyz(*, ready: bool) -> bytes:
    return json.dumps({"ready": ready, "engine": "hibari", "voice": "heart"}).encode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", ""])
def test_a_free_port_is_ok(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    finding = check(free, host)
    assert finding.status is Status.OK
    assert finding.text.endswith("is free")


def test_any_free_port_is_ok() -> None:
    assert check(0).text == "any free port (0)"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_ready_server_is_recognised(host: str) -> None:
    with answering(200, readyz(ready=True)) as number:
        finding = check(number, host)
    assert finding.status is Status.OK
    assert finding.text.endswith(f":{number}: ready, hibari, voice heart")
    assert finding.values["readyz"] == {"ready": True, "engine": "hibari", "voice": "heart"}


def test_a_server_that_is_not_ready_is_warned_of() -> None:
    with answering(503, readyz(ready=False)) as number:
        finding = check(number)
    assert finding.status is Status.WARNING
    assert "restart" in finding.remedy


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"3", b'{"ready": true}', b"\xff\xfe", b""])
def test_another_web_server_holds_the_port(body: bytes) -> None:
    with answering(200, body) as number:
        finding = check(number)
    assert finding.status is Status.ERROR
    assert "another program" in finding.text
    assert finding.command == f"duplex-tts serve --port {number + 1}"


def test_a_program_that_keeps_silent_holds_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert check(listener.getsockname()[1]).status is Status.ERROR


def test_a_program_that_speaks_no_http_holds_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert check(listener.getsockname()[1]).status is Status.ERROR
        thread.join()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 300, "::ffff:192.0.2.1"])
def test_an_address_of_another_machine_is_an_error(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(port, "_ask_server", lambda *_: None)  # would wait for an answer
    finding = check(9179, host)
    assert finding.status is Status.ERROR
    assert finding.command == "duplex-tts serve --host 127.0.0.1"


def test_a_forbidden_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    finding = check(80)
    assert finding.status is Status.ERROR
    assert "above 1023" in finding.remedy


def test_wyomings_port_is_checked_if_it_is_enabled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        found = by_name(port.run(inputs_for(server={"port": 0}, wyoming={"port": taken})))
    assert found["wyoming"].status is Status.ERROR
    assert found["wyoming"].command == f"duplex-tts serve --set wyoming.port={taken + 1}"
