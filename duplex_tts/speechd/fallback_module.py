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
    """Another output module as a child process, started again if it fails. Use it from one task at
    a time; the task may be cancelled.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._sending: asyncio.Task[None] | None = None
        self._speaking = False  # events of the last message are still to come

    @classmethod
    async def start(cls, program: Path) -> FallbackModule:
        """Start it. Raises `FallbackFailed`."""
        module = cls(program)
        await module._start()
        return module

    async def speak(
        self, message: Message, values: Mapping[str, str]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events of a message, without the last one. Leaving it stops the speech.

        Raises `FallbackFailed`.
        """
        if self._sending is not None:
            await asyncio.wait([self._sending])
        # It is sent to its end even if it is stopped meanwhile: what the child reads next would be
        # taken for its text, and its answers for those to the next message.
        self._sending = asyncio.create_task(self._send(message, values), name="fallback")
        try:
            await asyncio.shield(self._sending)
            async with aclosing(self._read_events()) as events:
                async for event in events:
                    yield event
        finally:
            self._sending.add_done_callback(self._stop)

    def close(self) -> None:
        """End the child. Does not wait."""
        process, self._process = self._process, None
        self._speaking = False
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()

    async def _start(self) -> None:
        program = self._program
        config = Path("/etc/speech-dispatcher/modules", program.name.removeprefix("sd_") + ".conf")
        try:
            self._process = await asyncio.create_subprocess_exec(
                program,
                config,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LINE_BYTES,
            )
        except OSError as error:
            raise FallbackFailed(f"cannot start {program}: {error}") from error
        await self._request("INIT")
        await self._send_parameters("AUDIO", {"audio_output_method": "server"})

    async def _send(self, message: Message, values: Mapping[str, str]) -> None:
        if self._process is None:
            await self._start()
        if self._speaking:
            await self._skip_events()
        await self._send_parameters("SET", values)
        await self._request(_COMMANDS[message.kind])
        text = "space" if message.text == " " else message.text
        await self._request("\n".join(map(_double_dot, text.split("\n"))) + "\n.")
        self._speaking = True

    def _stop(self, sending: asyncio.Task[None]) -> None:
        """Stop the speech of a message that was sent, unless it is over."""
        if not sending.cancelled() and sending.exception() is None and self._speaking:
            self._write("STOP")

    async def _send_parameters(self, command: str, values: Mapping[str, str]) -> None:
        await self._request(command)
        lines = "".join(f"{name}={value}\n" for name, value in values.items())
        await self._request(lines + ".")

    async def _request(self, text: str) -> None:
        self._write(text)
        while (line := await self._read_line())[3:4] == b"-":
            pass
        if not line.startswith(b"2"):
            raise self._fail(f"answers {line.decode(errors='replace').strip()!r}")

    def _write(self, text: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(text.encode() + b"\n")

    async def _read_line(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            raise self._fail("was ended")
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except (TimeoutError, ValueError) as error:
            raise self._fail("does not answer") from error
        if not line:
            raise self._fail("has exited")
        return line

    def _fail(self, problem: str) -> FallbackFailed:
        """End the child: the next message starts it again."""
        self.close()
        return FallbackFailed(f"{PROGRAM} {problem}")

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
