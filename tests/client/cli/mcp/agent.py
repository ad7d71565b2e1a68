"""An agent: the SDK's own client, connected to the tools in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mcp import Client

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.mcp.speech_queue import SpeechQueue
from duplex_tts.cli.mcp.speech_server import SpeechServer
from duplex_tts.cli.mcp.tools import SpeechTools, create_server
from duplex_tts.playback.devices import Device, NullDevice


@dataclass
class Agent:
    """`device`: what was played."""

    client: Client
    queue: SpeechQueue
    device: NullDevice
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that succeeds."""
        result = await self.client.call_tool(tool, arguments, progress_callback=self._note)
        assert not result.is_error, result.content
        content: dict[str, Any] = result.structured_content
        return content

    async def fail(self, tool: str, **arguments: Any) -> str:
        """Call a tool that fails; returns what the agent reads."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.content
        text: str = result.content[0].text
        return text

    def call_later(self, tool: str, **arguments: Any) -> asyncio.Task[dict[str, Any]]:
        """Call a tool in the background."""
        return asyncio.create_task(self.call(tool, **arguments))

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))

    def loud_ms(self) -> int:
        """Duration of what was played, without silence."""
        return int(np.count_nonzero(self.device.recording())) // 24


@asynccontextmanager
async def run_agent(
    url: str | AbstractContextManager[str],
    defaults: Parameters | None = None,
    mode: str = "auto",
    *,
    without_sound: bool = False,
) -> AsyncIterator[Agent]:
    """Connect an agent to the tools. `mode`: of the SDK; "legacy" passes JSON-RPC messages.
    `without_sound`: look for a device as on a machine that has none.
    """
    device = NullDevice(record=True)

    def find_device() -> Device | None:
        return None if without_sound else device

    server = SpeechServer(lambda: nullcontext(url) if isinstance(url, str) else url)
    queue = SpeechQueue(server, None, find_device)
    tools = SpeechTools(queue, server, None, defaults or Parameters())
    async with Client(create_server(tools), mode=mode) as client:
        yield Agent(client, queue, device)
