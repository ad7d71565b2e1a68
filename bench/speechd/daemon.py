"""Speech Dispatcher with a sound card of its own: a private daemon, PulseAudio with a null sink,
a recording of what the sink plays, and a client that speaks as Orca does (SSIP).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from duplex_tts.speechd.installation import Place, install
from duplex_tts.speechd.speech_parts import find_onset

PROGRAMS = ("speech-dispatcher", "pulseaudio", "parec")
REMEDY = "apt install speech-dispatcher speech-dispatcher-espeak-ng pulseaudio pulseaudio-utils"
RATE_HZ = 24_000
_BYTES_PER_S = 2 * RATE_HZ
_TIMEOUT_S = 60.0


def missing_programs() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class SsipFailed(Exception):
    """The daemon refused a command, or has ended."""


@dataclass(frozen=True, slots=True)
class SsipEvent:
    """An event of a message: its code (700: a mark, 701 begin, 702 end, 703 cancelled)."""

    code: int
    message: int
    mark: str
    arrived_s: float  # time.perf_counter


class SsipClient:
    """A client of the daemon, such as Orca."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._replies: asyncio.Queue[list[str]] = asyncio.Queue()
        self.events: asyncio.Queue[SsipEvent] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read_lines(), name="ssip")

    async def request(self, *lines: str) -> list[str]:
        """Send a command (or data) and return the lines of the answer."""
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        async with asyncio.timeout(_TIMEOUT_S):
            reply = await self._replies.get()
        if not reply[-1].startswith("2"):
            raise SsipFailed("; ".join(reply))
        return reply

    async def speak(self, text: str) -> tuple[int, float]:
        """Queue a text; returns the message's id, and when it was sent."""
        await self.request("SPEAK")
        sent_s = time.perf_counter()
        reply = await self.request(*text.split("\n"), ".")
        return int(reply[0][4:]), sent_s

    async def say(self, command: str, text: str) -> tuple[int, float]:
        """Queue a CHAR, KEY or SOUND_ICON; returns the message's id, and when it was sent."""
        sent_s = time.perf_counter()
        reply = await self.request(f"{command} {text}")
        return int(reply[0][4:]), sent_s

    async def wait_event(self, message: int, *codes: int) -> list[SsipEvent]:
        """The events of a message up to the first with one of these codes."""
        events: list[SsipEvent] = []
        while not events or events[-1].code not in codes:
            async with asyncio.timeout(_TIMEOUT_S):
                event = await self.events.get()
            if event.message == message:
                events.append(event)
        return events

    async def close(self) -> None:
        """Disconnect."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    async def _read_lines(self) -> None:
        lines: list[str] = []
        while line := (await self._reader.readline()).decode().rstrip("\r\n"):
            lines.append(line)
            if line[3:4] == "-":
                continue
            if line.startswith("7"):
                mark = lines[2][4:] if line.startswith("700") else ""
                event = SsipEvent(int(line[:3]), int(lines[0][4:]), mark, time.perf_counter())
                self.events.put_nowait(event)
            else:
                self._replies.put_nowait(lines)
            lines = []


@dataclass
class Recording:
    """What the sink plays, in real time, from the start of the recording."""

    pcm: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # time, bytes until then

    async def read_from(self, stream: asyncio.StreamReader) -> None:
        """Read until the recorder ends."""
        while data := await stream.read(_BYTES_PER_S // 100):
            self.pcm += data
            self.arrivals.append((time.perf_counter(), len(self.pcm)))

    def first_sound_s(self, after_s: float) -> float | None:
        """When the first audible 5 ms after a time arrived."""
        start = self._bytes_at(after_s)
        onset = find_onset(bytes(self.pcm[start:]), RATE_HZ)
        return None if onset is None else self._arrival_s(start + 2 * onset)

    def last_sound_s(self, after_s: float) -> float:
        """When the last audible 5 ms after a time arrived; that time if there is none."""
        start, window = self._bytes_at(after_s), RATE_HZ // 200
        pcm = bytes(self.pcm[start:])
        last = after_s
        for at in range(0, len(pcm) - 2 * window, 2 * window):
            if find_onset(pcm[at : at + 2 * window], RATE_HZ) is not None:
                last = self._arrival_s(start + at)
        return last

    def samples_since(self, after_s: float) -> np.ndarray:
        """The samples that arrived after a time."""
        return np.frombuffer(bytes(self.pcm[self._bytes_at(after_s) :]), "<i2")

    def _bytes_at(self, time_s: float) -> int:
        return max((count for arrived_s, count in self.arrivals if arrived_s <= time_s), default=0)

    def _arrival_s(self, at: int) -> float:
        return next(arrived_s for arrived_s, count in self.arrivals if count > at)


@dataclass(frozen=True, slots=True)
class SpeechdDaemon:
    """A daemon that runs, the environment for its programs, and what is heard."""

    socket: Path
    environment: dict[str, str]
    recording: Recording
    log: Path

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[SsipClient]:
        """Connect as a client that wants all events."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        client = SsipClient(reader, writer)
        try:
            await client.request("SET SELF CLIENT_NAME user:bench:main")
            await client.request("SET SELF NOTIFICATION ALL on")
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def speechd_daemon(folder: Path, settings: dict[str, str]) -> AsyncIterator[SpeechdDaemon]:
    """Run the daemon for the block, with the module installed in a home of its own.

    `settings`: of the module's configuration.
    """
    environment = _private_environment(folder)
    modules = folder / "home/.local/share/../libexec/speech-dispatcher-modules"
    (folder / "home/.local/share").mkdir(parents=True)
    place = Place(modules, folder / "home/.config/speech-dispatcher")
    install(place, settings, default=True)
    log = folder / "log"
    log.mkdir()
    recording = Recording()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_program(_pulseaudio(folder), environment))
        await asyncio.to_thread(_wait_for, folder / "pulse.sock")
        recorder = await stack.enter_async_context(_program(_RECORDER, environment))
        assert recorder.stdout is not None
        reading = asyncio.create_task(recording.read_from(recorder.stdout), name="recording")
        stack.callback(reading.cancel)
        await stack.enter_async_context(_program(_dispatcher(folder, log), environment))
        await asyncio.to_thread(_wait_for, folder / "spd.sock")
        yield SpeechdDaemon(folder / "spd.sock", environment, recording, log)


_RECORDER = ["parec", "-d", "out.monitor", "--raw", f"--rate={RATE_HZ}", "--format=s16le",
             "--channels=1", "--latency-msec=2"]  # fmt: skip


def _pulseaudio(folder: Path) -> list[str]:
    sink = f"module-null-sink sink_name=out rate={RATE_HZ} channels=1"
    protocol = f"module-native-protocol-unix socket={folder}/pulse.sock auth-anonymous=1"
    return ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
            "--disable-shm=yes", "-L", sink, "-L", protocol]  # fmt: skip


def _dispatcher(folder: Path, log: Path) -> list[str]:
    return ["speech-dispatcher", "-s", "-c", "unix_socket", "-S", f"{folder}/spd.sock", "-t", "0",
            "-P", f"{folder}/spd.pid", "-L", str(log), "-l", "3"]  # fmt: skip


def _private_environment(folder: Path) -> dict[str, str]:
    """Of a user whose home is in `folder`."""
    (folder / "run").mkdir(mode=0o700)
    (folder / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return kept | {
        "HOME": f"{folder}/home",
        "XDG_RUNTIME_DIR": f"{folder}/run",
        "PULSE_SERVER": f"unix:{folder}/pulse.sock",
        "SPEECHD_ADDRESS": f"unix_socket:{folder}/spd.sock",
        "LANG": "C.UTF-8",
    }


@asynccontextmanager
async def _program(
    command: Sequence[str], environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _wait_for(socket: Path) -> None:
    deadline_s = time.monotonic() + _TIMEOUT_S
    while not socket.exists():
        if time.monotonic() > deadline_s:
            raise SsipFailed(f"{socket.name} was not opened within {_TIMEOUT_S:g} s")
        time.sleep(0.05)
