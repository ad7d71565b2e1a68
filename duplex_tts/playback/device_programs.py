"""Plays through a program such as `aplay`, for Linux machines without PortAudio.

On macOS and Windows the wheels of `sounddevice` contain PortAudio.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

from duplex_tts.playback.devices import BLOCK_S, REMEDY, ClockedDevice, DeviceFailed, Pull
from duplex_tts.playback.mixer import Pcm

LEAD_S = 0.12  # audio written ahead of the clock, so that the program never runs dry
PIPE_BYTES = 4096  # 85 ms at 24 kHz: a longer pipe would only add latency
QUIET_AFTER_S = 1.0  # stop writing after this much silence, so that the next sound need not queue
LAGGING_S = 0.1  # a program late by more than this is not caught up with
DRAIN_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class PlayerProgram:
    """Arguments to play raw PCM from standard input, the length of its buffer, and its Debian
    package.
    """

    arguments: str
    delay_s: float
    package: str


PROGRAMS = {
    "paplay": PlayerProgram(
        "--raw --format=s16le --rate={rate} --channels=1 --latency-msec=50",
        0.05,
        "pulseaudio-utils",
    ),
    "aplay": PlayerProgram(
        "-q -t raw -f S16_LE -r {rate} -c 1 --buffer-time=100000", 0.1, "alsa-utils"
    ),
    "ffplay": PlayerProgram(
        "-nodisp -autoexit -loglevel error -probesize 32 -f s16le -ar {rate} -i pipe:0",
        0.2,
        "ffmpeg",
    ),
}
"""In order of preference. `{rate}` is the sample rate in Hz."""


class ProgramDevice(ClockedDevice):
    """Plays through one of `PROGRAMS`. `drop` kills it: the only way to empty its buffers."""

    needs_drop = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.delay_s = LEAD_S + PROGRAMS[name].delay_s
        self._killed = False
        self._silent_s = QUIET_AFTER_S

    def open(self, sample_rate_hz: int, pull: Pull) -> None:
        """Start the program and begin to pull."""
        path = shutil.which(self.name)
        if path is None:
            raise DeviceFailed(
                f"{self.name} is not installed; install {PROGRAMS[self.name].package}, {REMEDY}"
            )
        arguments = PROGRAMS[self.name].arguments
        self._command = [path, *arguments.format(rate=sample_rate_hz).split()]
        self._start_program()
        super().open(sample_rate_hz, pull)

    def drop(self) -> None:
        """Kill the program; the next block starts another."""
        self._killed = True
        self._process.kill()

    def close(self, *, drain: bool) -> None:
        """Stop; with `drain` after the program has played everything."""
        self._closing.set()
        if drain:
            self._thread.join(DRAIN_TIMEOUT_S)
        if not drain or self._thread.is_alive():
            self.drop()
        self._thread.join()
        self._end_program()

    def _start_program(self) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            pipesize=PIPE_BYTES,
        )

    def _end_program(self) -> int:
        """Let it play its buffer and exit; returns its exit code (negative when killed)."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._stderr.close()
        try:
            return self._process.wait(DRAIN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    # --- in the device's thread -------------------------------------------------------------------

    def _prepare_block(self) -> None:
        if self._killed:
            self._end_program()
            self._killed, self._silent_s = False, QUIET_AFTER_S
            self._due_s = time.monotonic()
            self._start_program()

    def _play_block(self, block: Pcm) -> None:
        was_quiet = self._silent_s >= QUIET_AFTER_S
        self._silent_s = 0.0 if block.any() else self._silent_s + BLOCK_S
        if self._silent_s >= QUIET_AFTER_S:
            self._due_s += 0.0 if was_quiet else LEAD_S
            return
        if was_quiet:
            self._due_s -= LEAD_S
        self._write_pipe(block.tobytes())
        late_s = time.monotonic() - self._due_s - BLOCK_S
        if late_s > LAGGING_S + LEAD_S:
            self._due_s += late_s

    def _write_pipe(self, data: bytes) -> None:
        """Write; blocks while the pipe is full, which follows the program's own clock."""
        assert self._process.stdin is not None
        try:
            while data:
                data = data[self._process.stdin.write(data) :]
        except BrokenPipeError:
            if not self._killed:
                raise self._read_failure() from None

    def _read_failure(self) -> DeviceFailed:
        self._stderr.seek(0)
        reason = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        code = self._end_program()
        return DeviceFailed(f"{self.name} could not play (exit code {code}): {reason}; {REMEDY}")
