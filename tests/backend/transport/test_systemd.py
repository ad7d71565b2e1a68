"""What systemd is told, and the sockets that it opened."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.config import Settings
from backend.errors import ConfigError
from backend.transport.draining_server import DrainingServer
from backend.transport.listener import listen
from backend.transport.systemd import check_inherited, inherited_listener, notify, watchdog_period_s
from tests.support.live_server import live_server
from tests.support.repository import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is of Linux")
_RECEIVE_S = 60.0


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(_RECEIVE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield bound


# --- notify ---------------------------------------------------------------------------------------


def test_a_state_is_one_message_of_lines(receiver: socket.socket) -> None:
    notify("READY=1", "STATUS=ready")
    assert receiver.recv(4096) == b"READY=1\nSTATUS=ready"


def test_an_abstract_address_begins_with_a_null_character(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"duplex-tts-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name}")
        bound.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert bound.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "vsock:2:1234", "/" + "x" * 200])
def test_a_missing_or_unusable_socket_is_no_error(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


def test_a_full_socket_does_not_block(receiver: socket.socket) -> None:
    for _ in range(10_000):
        notify("WATCHDOG=1")


@pytest.mark.parametrize(
    ("environ", "period_s"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_the_watchdog_is_for_the_named_process(
    environ: dict[str, str], period_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert watchdog_period_s() == period_s


# --- the server -----------------------------------------------------------------------------------


def receive_until(receiver: socket.socket, wanted: str) -> list[str]:
    """Read the lines of all messages up to the one with this line."""
    lines: list[str] = []
    while wanted not in lines:
        lines += receiver.recv(4096).decode().splitlines()
    return lines


async def test_readiness_liveness_and_the_end_are_told(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    async with live_server(server={"drain_timeout": 7.0}) as live:
        await asyncio.to_thread(receive_until, receiver, "READY=1")
        await asyncio.to_thread(receive_until, receiver, "WATCHDOG=1")
        live.request_shutdown()
        told = await asyncio.to_thread(receive_until, receiver, "STOPPING=1")
    (extension,) = (line for line in told if line.startswith("EXTEND_TIMEOUT_USEC="))
    assert int(extension.partition("=")[2]) > 7_000_000  # speech may end


async def test_a_server_without_engine_threads_is_not_alive(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setattr("backend.tts_manager.TTSManager.has_all_threads", False)
    ticked = asyncio.Event()
    tick = DrainingServer.on_tick

    async def count_tick(self: DrainingServer, counter: int) -> bool:
        if counter >= 3:
            ticked.set()
        return await tick(self, counter)

    monkeypatch.setattr(DrainingServer, "on_tick", count_tick)
    async with live_server() as live:
        await asyncio.wait_for(ticked.wait(), _RECEIVE_S)
        live.request_shutdown()
        told = await asyncio.to_thread(receive_until, receiver, "STOPPING=1")
    assert "WATCHDOG=1" not in told


# --- inherited sockets ----------------------------------------------------------------------------


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listening socket, passed to this process as systemd does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr("backend.transport.systemd._FIRST_DESCRIPTOR", listener.fileno())
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        yield listener


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_socket_is_taken_over_at_its_address(inherited: socket.socket, host: str) -> None:
    address = inherited.getsockname()
    taken = listen(host, address[1])
    assert taken.fileno() == inherited.detach()
    assert taken.getsockname() == address
    assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    taken.close()


def test_a_socket_of_another_address_is_left_alone(inherited: socket.socket) -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.fileno() != inherited.fileno()


def test_sockets_of_another_process_are_left_alone(
    inherited: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    assert inherited_listener(*inherited.getsockname()) is None


def test_a_socket_that_the_settings_do_not_ask_for_stops_the_start(
    inherited: socket.socket,
) -> None:
    port = inherited.getsockname()[1]
    with pytest.raises(ConfigError, match="ListenStream"):
        check_inherited(Settings.model_validate({"server": {"port": 8000}}))
    check_inherited(Settings.model_validate({"server": {"port": port}}))
    check_inherited(Settings.model_validate({"wyoming": {"port": port}}))
    with pytest.raises(ConfigError, match="--replicas"):
        check_inherited(
            Settings.model_validate({"server": {"port": port}, "cluster": {"replicas": 2}})
        )


def test_a_unix_socket_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, receiver: socket.socket
) -> None:
    monkeypatch.setattr("backend.transport.systemd._FIRST_DESCRIPTOR", receiver.fileno())
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with pytest.raises(ConfigError, match="TCP"):
        check_inherited(Settings())


def test_what_does_not_listen_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connected,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        (tmp_path / "file").open("w") as file,
    ):
        datagrams.bind(("127.0.0.1", 0))
        closed = os.dup(file.fileno())
        os.close(closed)
        for descriptor in (connected.fileno(), datagrams.fileno(), file.fileno(), closed):
            monkeypatch.setattr("backend.transport.systemd._FIRST_DESCRIPTOR", descriptor)
            with pytest.raises(ConfigError, match=f"descriptor {descriptor}.*ListenStream="):
                check_inherited(Settings())


@pytest.mark.slow
def test_a_client_that_connects_before_the_server_starts_is_answered(
    receiver: socket.socket, tmp_path: Path
) -> None:
    """The only test here with the real program."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        server = [sys.executable, str(ROOT / "backend" / "main.py"), "--port", str(port)]
        inherit = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        program = subprocess.Popen(
            ["bash", "-c", inherit, "-", *server],
            cwd=tmp_path,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
        )
    try:
        told = receive_until(receiver, "READY=1")
        assert f"STATUS=duplex-tts ready on http://127.0.0.1:{port}" in told
        with client, client.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 200 ")
    finally:
        program.send_signal(signal.SIGTERM)
        program.wait(timeout=20)
    assert "STOPPING=1" in receive_until(receiver, "STOPPING=1")
