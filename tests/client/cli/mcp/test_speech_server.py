from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from duplex_tts.cli.mcp import speech_server
from duplex_tts.cli.mcp.speech_server import SpeechServer
from duplex_tts.local_server import ServerFailed


class StartedServers:
    """Servers that are started, answer until they are ended, and are stopped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.answers = True
        monkeypatch.setattr(speech_server, "is_ready", lambda _url: self.answers)

    @contextmanager
    def start(self) -> Iterator[str]:
        self.log.append("started")
        yield f"127.0.0.1:{len(self.log)}"
        self.log.append("stopped")


async def test_a_server_is_started_once_and_stopped_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = StartedServers(monkeypatch)
    server = SpeechServer(servers.start)
    assert not servers.log, "none is started before it is needed"
    addresses = await asyncio.gather(*(server.find_address() for _ in range(3)))
    assert addresses == ["127.0.0.1:1"] * 3
    await server.close()
    assert servers.log == ["started", "stopped"]


async def test_a_server_that_does_not_answer_any_more_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = StartedServers(monkeypatch)
    server = SpeechServer(servers.start)
    await server.find_address()
    servers.answers = False
    assert await server.find_address() == "127.0.0.1:3"
    assert servers.log == ["started", "stopped", "started"]


async def test_a_failed_start_is_raised_and_tried_again() -> None:
    attempts: list[int] = []

    @contextmanager
    def fail_once() -> Iterator[str]:
        attempts.append(1)
        if len(attempts) == 1:
            raise ServerFailed("the server did not start")
        yield "127.0.0.1:1"

    server = SpeechServer(fail_once)
    with pytest.raises(ServerFailed):
        await server.find_address()
    assert await server.find_address() == "127.0.0.1:1"
    await server.close()
