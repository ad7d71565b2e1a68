"""A vendor's client and the core with the fake engine, in scripted time, without a socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from backend.errors import DuplexError
from backend.events import Audio, Word
from backend.protocols.base import Close, WireProtocol
from tests.support.engines.fake_engine import heard
from tests.support.scripted_session import ScriptedClient, scripted

Answer = Any  # a message, parsed, or a `Close`


def converse(protocol: WireProtocol, *said: dict[str, Any] | str | float) -> list[Answer]:
    """Send these messages (a number: wait so many seconds); returns what comes back, until every
    context has ended.
    """

    async def script(client: ScriptedClient) -> None:
        for message in said:
            if isinstance(message, float):
                await asyncio.sleep(message)
                continue
            try:
                raw = message if isinstance(message, str) else json.dumps(message)
                client.say(*protocol.decode(raw))
            except DuplexError as error:
                client.session.refuse(error)
        await client.settled()

    answers: list[Answer] = []
    for event in scripted(script).events:
        answers += map(_parsed, protocol.encode(event))
    return answers


def answers(protocol: WireProtocol, event: Any) -> list[Answer]:
    """What a client is told of one event."""
    return [_parsed(message) for message in protocol.encode(event)]


def _parsed(message: str | bytes | Close) -> Answer:
    if isinstance(message, Close):
        return message
    assert len(message) < 256 * 1024, "too large for a client"
    return json.loads(message)


def said_in(data: Sequence[str]) -> str:
    """The characters heard in base64 of `pcm_f32le`."""
    return heard(np.frombuffer(b"".join(map(base64.b64decode, data)), "<f4"))


def spoken(
    context: str, span: tuple[int, int], *words: Word, start_ms: float = 0.0, ms: float = 100.0
) -> Audio:
    """An event of audio."""
    return Audio(context, 0, start_ms, ms, span, words, b"\0\0\0\0")
