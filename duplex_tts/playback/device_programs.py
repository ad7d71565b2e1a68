"""Playing through a program: what Linux machines have where PortAudio is not installed.

Wheels of `sounddevice` bring PortAudio on macOS and Windows.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

from duplex_tts.playback.devices import BLOCK_S, REMEDY, ClockedDevice, DeviceFailed, Pull
from duplex_tts.playback.mixer import Pcm

LEAD_S = 0.12  # what a program is given ahead of its clock, so that it never waits for ours
PIPE_BYTES = 4096  # 85 ms at 24 kHz: a longer pipe only makes what is heard later than assumed
QUIET_AFTER_S = 1.0  # of silence: then it is given no more, and the next sound need not queue up
LAGGING_S = 0.1  # a program that stalls that long is not run after
DRAIN_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Program:
    """How to make it play raw PCM from its standard input, how long its own buffer is, and which
    package of Debian it comes with.
    """

    arguments: str
    delay_s: float
    package: str


PROGRAMS = {
    "paplay": Program(
        "--raw --format=s16le --rate={rate} --channels=1 --latency-msec=50",
        0.05,
        "pulseaudio-utils",
    ),
    "aplay": Program("-q -t raw -f S16_LE -r {rate} -c 1 --buffer-time=100000", 0.1, "alsa-utils"),
    "ffplay": Program(
        "-nodisp -autoexit -loglevel error -probesize 32 -f s16le -ar {rate} -i pipe:0",
        0.2,
        "ffmpeg",
    ),
}
"""In the order of preference. `{rate}` is the sample rate in Hz."""


class ProgramDevice(ClockedDevice):
    """One of `PROGRAMS`. A cancel kills it, which is the only way to empty its buffers."""

    buffers_much = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.delay_s = LEAD_S + PROGRAMS[name].delay_s
        self._killed = False
        self._silent_s = QUIET_AFTER_S

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Start it ahead of need, and begin to pull."""
        path = shutil.which(self.name)
        if path is None:
            raise DeviceFailed(
                f"{self.name} is not installed; install {PROGRAMS[self.name].package}, {REMEDY}"
            )
        arguments = PROGRAMS[self.name].arguments
        self._command = [path, *arguments.format(rate=sample_rate_hz).split()]
        self._start()
        super().open(sample_rate_hz, pull)

    def drop(self) -> None:
        """Kill it; another one is started for what comes next."""
        self._killed = True
        self._process.kill()

    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` once it has played all and left."""
        self._closing.set()
        if drain:
            self._thread.join(DRAIN_TIMEOUT_S)
        if not drain or self._thread.is_alive():
            self.drop()
        self._thread.join()
        self._end()

    def _start(self) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stderr=self._complaints,
            bufsize=0,
            pipesize=PIPE_BYTES,
        )

    def _end(self) -> int:
        """Let it play what it has, and leave; returns its exit code (negative when killed)."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._complaints.close()
        try:
            return self._process.wait(DRAIN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    # --- in the thread ----------------------------------------------------------------------------

    def _prepare(self) -> None:
        if self._killed:
            self._end()
            self._killed, self._silent_s = False, QUIET_AFTER_S
            self._due_s = time.monotonic()
            self._start()

    def _play(self, block: Pcm) -> None:
        was_quiet = self._silent_s >= QUIET_AFTER_S
        self._silent_s = 0.0 if block.any() else self._silent_s + BLOCK_S
        if self._silent_s >= QUIET_AFTER_S:
            self._due_s += 0.0 if was_quiet else LEAD_S
            return
        if was_quiet:
            self._due_s -= LEAD_S
        self._write(block.tobytes())
        late_s = time.monotonic() - self._due_s - BLOCK_S
        if late_s > LAGGING_S + LEAD_S:
            self._due_s += late_s

    def _write(self, data: bytes) -> None:
        """Blocks while the pipe is full: the program's own clock."""
        assert self._process.stdin is not None
        try:
            while data:
                data = data[self._process.stdin.write(data) :]
        except BrokenPipeError:
            if not self._killed:
                raise self._failed() from None

    def _failed(self) -> DeviceFailed:
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        code = self._end()
        return DeviceFailed(f"{self.name} could not play (exit code {code}): {said}; {REMEDY}")
