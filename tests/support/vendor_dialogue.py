"""Runs a vendor's protocol against the core with the fake engine, in virtual time, no socket."""

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
from tests.support.engines.fake_engine import decode_pcm
from tests.support.scripted_session import ScriptedClient, run_script

ParsedMessage = Any  # a parsed JSON message, or a `Close`


def run_dialogue(
    protocol: WireProtocol, *messages: dict[str, Any] | str | float
) -> list[ParsedMessage]:
    """Send these messages (a float: wait this many seconds); returns the replies until every
    context has ended.
    """

    async def script(client: ScriptedClient) -> None:
        for message in messages:
            if isinstance(message, float):
                await asyncio.sleep(message)
                continue
            try:
                raw = message if isinstance(message, str) else json.dumps(message)
                client.send(*protocol.decode(raw))
            except DuplexError as error:
                client.session.refuse(error)
        await client.wait_settled()

    replies: list[ParsedMessage] = []
    for event in run_script(script).events:
        replies += map(_parse_message, protocol.encode(event))
    return replies


def encode_parsed(protocol: WireProtocol, event: Any) -> list[ParsedMessage]:
    """Encode one event, with the messages parsed."""
    return [_parse_message(message) for message in protocol.encode(event)]


def _parse_message(message: str | bytes | Close) -> ParsedMessage:
    if isinstance(message, Close):
        return message
    assert len(message) < 256 * 1024, "too large for a client"
    return json.loads(message)


def decode_speech(data: Sequence[str]) -> str:
    """The characters spoken in base64 chunks of `pcm_f32le`."""
    return decode_pcm(np.frombuffer(b"".join(map(base64.b64decode, data)), "<f4"))


def audio_event(
    context: str, span: tuple[int, int], *words: Word, start_ms: float = 0.0, ms: float = 100.0
) -> Audio:
    """An `Audio` event."""
    return Audio(context, 0, start_ms, ms, span, words, b"\0\0\0\0")
