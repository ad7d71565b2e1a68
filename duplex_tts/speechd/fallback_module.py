"""Another output module of Speech Dispatcher, which speaks while the server cannot.

A listener who cannot see the screen must not be left in silence. The other module (espeak-ng, which
Debian installs with Speech Dispatcher) runs as a child; messages and its events are passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path

from duplex_tts.errors import ClientError
from duplex_tts.speechd.module_protocol import Message

PROGRAM = "sd_espeak-ng"
FOLDERS = ("/usr/lib/speech-dispatcher-modules", "/usr/libexec/speech-dispatcher-modules")
_REPLY_TIMEOUT_S = 5.0
_LINE_BYTES = 2**20  # an audio event of the daemon's own modules is one line of 20 KB at most
_COMMANDS = {"text": "SPEAK", "char": "CHAR", "key": "KEY", "sound_icon": "SOUND_ICON"}
_LAST_EVENTS = (b"702 ", b"703 ", b"704 ")


class FallbackFailed(ClientError):
    """The other module did not start or does not answer."""

    code = "fallback_failed"


def find_fallback() -> Path | None:
    """The program of espeak-ng's module; None if it is not installed."""
    found = (Path(folder, PROGRAM) for folder in FOLDERS)
    multiarch = sorted(Path("/usr/lib").glob(f"*/speech-dispatcher-modules/{PROGRAM}"))
    return next((path for path in (*found, *multiarch) if path.is_file()), None)


class FallbackModule:
    """Another output module as a child process. Use it from one task at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._speaking = False  # events of the last message are still to come

    @classmethod
    async def start(cls, program: Path) -> FallbackModule:
        """Start it. Raises `FallbackFailed`."""
        config = Path("/etc/speech-dispatcher/modules", program.name.removeprefix("sd_") + ".conf")
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                config,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LINE_BYTES,
            )
        except OSError as error:
            raise FallbackFailed(f"cannot start {program}: {error}") from error
        module = cls(process)
        await module._request("INIT")
        await module._send_parameters("AUDIO", {"audio_output_method": "server"})
        return module

    async def speak(
        self, message: Message, values: Mapping[str, str]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events of a message, without the last one. Leaving it stops the speech.

        Raises `FallbackFailed`.
        """
        if self._speaking:
            await self._skip_events()
        await self._send_parameters("SET", values)
        await self._request(_COMMANDS[message.kind])
        text = "space" if message.text == " " else message.text
        await self._request("\n".join(map(_double_dot, text.split("\n"))) + "\n.")
        self._speaking = True
        try:
            async with aclosing(self._read_events()) as events:
                async for event in events:
                    yield event
        finally:
            if self._speaking:
                self._write("STOP")

    def close(self) -> None:
        """End the child. Does not wait."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def _send_parameters(self, command: str, values: Mapping[str, str]) -> None:
        await self._request(command)
        lines = "".join(f"{name}={value}\n" for name, value in values.items())
        await self._request(lines + ".")

    async def _request(self, text: str) -> None:
        self._write(text)
        while (line := await self._read_line())[3:4] == b"-":
            pass
        if not line.startswith(b"2"):
            raise FallbackFailed(f"{PROGRAM} answers {line.decode(errors='replace').strip()!r}")

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")

    async def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except (TimeoutError, ValueError) as error:
            raise FallbackFailed(f"{PROGRAM} does not answer") from error
        if not line:
            raise FallbackFailed(f"{PROGRAM} has exited")
        return line

    async def _read_events(self) -> AsyncGenerator[bytes, None]:
        """Yield whole events up to the last one, without it and without the first."""
        event = b""
        while True:
            line = await self._read_line()
            event += line
            if line[3:4] == b"-":
                continue
            if line.startswith(_LAST_EVENTS):
                self._speaking = False
                return
            if not line.startswith(b"701"):
                yield event
            event = b""

    async def _skip_events(self) -> None:
        async for _ in self._read_events():
            pass


def _double_dot(line: str) -> str:
    return f".{line}" if line.startswith(".") else line
