"""Runs the output module as Speech Dispatcher does, over pipes, and times what it sends."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

MODULE = "duplex_tts.speechd"
_LINE_BYTES = 2**20
_TIMEOUT_S = 90.0
_LAST = (b"702", b"703", b"704")


@dataclass(frozen=True, slots=True)
class ModuleEvent:
    """An event: `code` 700 to 706, its data (samples, or the name of a mark), when it arrived.

    `rate_hz`: of the samples.
    """

    code: int
    data: bytes
    arrived_s: float  # time.perf_counter
    rate_hz: int = 0


class ModuleFailed(Exception):
    """The module refused a command, or ended."""


class SpeechdModule:
    """The daemon's side of a module that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    async def request(self, text: str) -> list[str]:
        """Send a command or its data and return the lines of the answer."""
        self.send(text)
        lines = [await self._read_line()]
        while lines[-1][3:4] == b"-":
            lines.append(await self._read_line())
        answer = [line.decode().rstrip("\n") for line in lines]
        if not answer[-1].startswith("2"):
            raise ModuleFailed("; ".join(answer))
        return answer

    def send(self, text: str) -> None:
        """Send a command that is not answered, such as STOP."""
        self._input.write(text.encode() + b"\n")

    async def set_values(self, values: Mapping[str, object], command: str = "SET") -> None:
        """Send parameters."""
        await self.request(command)
        lines = "".join(f"{name}={value}\n" for name, value in values.items())
        await self.request(lines + ".")

    async def start_message(self, text: str, command: str = "SPEAK") -> float:
        """Send a message; returns when it was complete (`time.perf_counter`)."""
        await self.request(command)
        sent_s = time.perf_counter()
        await self.request(text + "\n.")
        return sent_s

    async def read_event(self) -> ModuleEvent:
        """Wait for the next event."""
        lines = [await self._read_line()]
        arrived_s = time.perf_counter()
        while lines[-1][3:4] == b"-":
            lines.append(await self._read_line())
        code = int(lines[0][:3])
        if code != 705:
            return ModuleEvent(code, lines[0][4:].strip(), arrived_s)
        fields = dict(line[4:].strip().split(b"=", 1) for line in lines[:-2])
        samples = _unescape(lines[-2].removeprefix(b"705-AUDIO\0").removesuffix(b"\n"))
        assert len(samples) == 2 * int(fields[b"num_samples"])
        return ModuleEvent(code, samples, arrived_s, int(fields[b"sample_rate"]))

    async def read_events(self) -> list[ModuleEvent]:
        """Read up to the event that ends the message, with it."""
        events = [await self.read_event()]
        while events[-1].code not in (702, 703, 704):
            events.append(await self.read_event())
        return events

    async def speak(self, text: str, command: str = "SPEAK") -> list[ModuleEvent]:
        """Speak a message to its end."""
        await self.start_message(text, command)
        return await self.read_events()

    async def _read_line(self) -> bytes:
        async with asyncio.timeout(_TIMEOUT_S):
            line = await self._output.readline()
        if not line:
            raise ModuleFailed("the module has ended")
        return line


def _unescape(data: bytes) -> bytes:
    first, *rest = data.split(b"\x7d")
    return first + b"".join(bytes([part[0] ^ 0x20]) + part[1:] for part in rest)


@asynccontextmanager
async def speechd_module(config: Path, *, initialize: bool = True) -> AsyncIterator[SpeechdModule]:
    """Run the module with this configuration file during the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        MODULE,
        config,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    module = SpeechdModule(process)
    try:
        if initialize:
            await module.request("INIT")
            await module.set_values({"audio_output_method": "server"}, "AUDIO")
        yield module
        module.send("QUIT")
        async with asyncio.timeout(_TIMEOUT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
