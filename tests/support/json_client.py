"""A client of a vendor's WebSocket: messages are JSON texts, audio is base64 in a field of one."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed


class JsonClient:
    """`audio_field`: of the messages that carry audio. `audio_types`: the types of messages that
    may come between; one without the field has no audio.
    """

    def __init__(
        self, socket: ClientConnection, audio_field: str, audio_types: Collection[str]
    ) -> None:
        self.socket = socket
        self._audio_field = audio_field
        self._audio_types = audio_types

    async def send(self, *messages: dict[str, Any]) -> None:
        """Send messages."""
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Wait for the next message."""
        message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def read_to(self, kind: str) -> tuple[bytes, dict[str, Any]]:
        """The audio up to the next message of this type, and the message."""
        data = b""
        while (message := await self.receive())["type"] != kind:
            assert message["type"] in self._audio_types, message
            data += base64.b64decode(message.get(self._audio_field, ""))
        return data, message

    async def read_to_close(self) -> tuple[list[dict[str, Any]], int]:
        """The messages until the server closes, and the code."""
        messages = []
        with suppress(ConnectionClosed):
            while True:
                messages.append(await self.receive())
        assert self.socket.close_code is not None
        return messages, self.socket.close_code
