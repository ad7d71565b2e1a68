"""Playing through a program: what Linux machines have where PortAudio is not installed.

Wheels of `sounddevice` bring PortAudio on macOS and Windows.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass

from duplex_tts.devices import BLOCK_S, REMEDY, ClockedDevice, DeviceFailed, Pull
from duplex_tts.playout import Pcm

PIPE_BYTES = 4096  # 85 ms at 24 kHz: what waits in the pipe is heard later than it is pulled
REST_AFTER_S = 15.0  # of silence: then it need not run
LAGGING_S = 0.1  # a program that starts or stalls that long is not run after
DRAIN_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Program:
    """How to make it play raw PCM from its standard input, and how long its own buffer is."""

    arguments: str
    delay_s: float


PROGRAMS = {
    "paplay": Program("--raw --format=s16le --rate={rate} --channels=1 --latency-msec=50", 0.05),
    "aplay": Program("-q -t raw -f S16_LE -r {rate} -c 1 --buffer-time=100000", 0.1),
    "ffplay": Program(
        "-nodisp -autoexit -loglevel error -probesize 32 -f s16le -ar {rate} -i pipe:0", 0.2
    ),
}
"""In the order of preference. `{rate}` is the sample rate in Hz."""


class ProgramDevice(ClockedDevice):
    """One of `PROGRAMS`. A cancel kills it, which is the only way to empty its buffers."""

    buffers_much = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.delay_s = PROGRAMS[name].delay_s
        self._process: subprocess.Popen[bytes] | None = None
        self._dropped = False
        self._silent_s = 0.0

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Start it ahead of need, and begin to pull."""
        path = shutil.which(self.name)
        if path is None:
            raise DeviceFailed(f"{self.name} is not installed; {REMEDY}")
        arguments = PROGRAMS[self.name].arguments
        self._command = [path, *arguments.format(rate=sample_rate_hz).split()]
        self._start()
        super().open(sample_rate_hz, pull)

    def drop(self) -> None:
        """Kill it; the next block starts another one."""
        self._dropped = True
        if process := self._process:
            process.kill()

    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` once it has played all and left."""
        self._closing.set()
        if not drain:
            self.drop()
        self._thread.join()
        self._end(DRAIN_TIMEOUT_S)

    def _start(self) -> None:
        self._dropped, self._silent_s = False, 0.0
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, bufsize=0, pipesize=PIPE_BYTES
        )

    def _end(self, timeout_s: float) -> int:
        """Let it play what it has, and leave; returns its exit code (negative when killed)."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _prepare(self) -> None:
        if self._dropped:
            self._end(DRAIN_TIMEOUT_S)
            self._start()

    def _play(self, block: Pcm) -> None:
        if block.any():
            self._silent_s = 0.0
            if self._process is None:
                self._start()
        elif self._rests():
            return
        self._write(block.tobytes())
        late_s = time.monotonic() - self._due_s
        if late_s > LAGGING_S:
            self._due_s += late_s

    def _rests(self) -> bool:
        self._silent_s += BLOCK_S
        if self._silent_s > REST_AFTER_S:
            self._end(DRAIN_TIMEOUT_S)
        return self._process is None

    def _write(self, data: bytes) -> None:
        """Blocks while the pipe is full: the program's own clock."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            while data:
                data = data[self._process.stdin.write(data) :]
        except BrokenPipeError:
            if self._dropped or self._closing.is_set():
                return
            code = self._end(1.0)
            raise DeviceFailed(f"{self.name} could not play (exit code {code}); {REMEDY}") from None
