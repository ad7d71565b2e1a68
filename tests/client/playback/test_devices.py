import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from duplex_tts.playback.devices import FADE_S, DeviceFailed, NullDevice, SoundDevice
from duplex_tts.playback.mixer import Pcm

RATE_HZ = 24000


class CountingSource:
    """Counts upwards, and records the pulls."""

    def __init__(self) -> None:
        self.at = 0
        self.pulls: list[tuple[int, float, float]] = []
        self.enough = threading.Event()

    def pull(self, frames: int, now_s: float, delay_s: float) -> Pcm:
        self.pulls.append((frames, now_s, delay_s))
        block = (np.arange(self.at, self.at + frames) % 1000 + 1).astype(np.int16)
        self.at += frames
        if self.at >= RATE_HZ // 4:
            self.enough.set()
        return block


# --- the null device ------------------------------------------------------------------------------


def test_the_null_device_plays_in_real_time_and_records_everything() -> None:
    source, device = CountingSource(), NullDevice(record=True)
    started_s = time.monotonic()
    device.open(RATE_HZ, source.pull)
    assert source.enough.wait(10)
    took_s = time.monotonic() - started_s
    device.close(drain=False)
    assert took_s >= 0.23, "not faster than the clock"
    recording = device.recording()
    assert len(recording) == source.at
    assert recording.tolist() == (np.arange(source.at) % 1000 + 1).tolist()


def test_index_at_finds_the_sample_heard_at_a_time() -> None:
    source, device = CountingSource(), NullDevice(record=True)
    device.open(RATE_HZ, source.pull)
    assert source.enough.wait(10)
    device.close(drain=False)
    frames, pulled_s, delay_s = source.pulls[7]
    assert device.index_at(pulled_s + delay_s) == pytest.approx(7 * frames, abs=1)


def test_the_null_device_catches_up_after_a_late_thread() -> None:
    """It follows the system clock, also when its thread was delayed."""
    source, device = CountingSource(), NullDevice(record=True)

    def pull(frames: int, now_s: float, delay_s: float) -> Pcm:
        if len(source.pulls) == 3:
            time.sleep(0.1)
        return source.pull(frames, now_s, delay_s)

    device.open(RATE_HZ, pull)
    assert source.enough.wait(10)
    device.close(drain=False)
    steps = np.diff([now_s for _, now_s, _ in source.pulls])
    assert np.allclose(steps, 0.01)


def test_the_null_device_keeps_nothing_without_record() -> None:
    source, device = CountingSource(), NullDevice()
    device.open(RATE_HZ, source.pull)
    assert source.enough.wait(10)
    device.close(drain=True)
    assert len(device.recording()) == 0


# --- PortAudio ------------------------------------------------------------------------------------


class PortAudioError(Exception):
    pass


class Stream:
    """A silent stand-in for `sounddevice.OutputStream`."""

    latency = 0.02
    broken = ""

    def __init__(self, **options: Any) -> None:
        if self.broken:
            raise PortAudioError(self.broken)
        self.options = options
        self.log: list[str] = []
        Stream.made = self

    def start(self) -> None:
        self.log.append("start")

    def abort(self) -> None:
        self.log.append("abort")
        self.options["finished_callback"]()

    def stop(self) -> None:
        self.log.append("stop")
        self.options["finished_callback"]()

    def close(self) -> None:
        self.log.append("close")

    made: "Stream"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> type[Stream]:
    """A machine with PortAudio."""

    class Fresh(Stream):
        pass

    module = SimpleNamespace(
        OutputStream=Fresh,
        PortAudioError=PortAudioError,
        query_devices=lambda kind: {"default_low_output_latency": 0.008},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return Fresh


def test_the_sound_device_plays_pulled_samples_and_passes_their_delay(
    stream: type[Stream],
) -> None:
    source, device = CountingSource(), SoundDevice()
    device.open(RATE_HZ, source.pull)
    options = Stream.made.options
    assert (options["samplerate"], options["channels"], options["dtype"]) == (RATE_HZ, 1, "int16")
    block = np.zeros((480, 1), np.int16)
    times = SimpleNamespace(currentTime=100.0, outputBufferDacTime=100.03)
    options["callback"](block, 480, times, None)
    assert block[:, 0].tolist() == list(range(1, 481))
    ((_, now_s, delay_s),) = source.pulls
    assert delay_s == pytest.approx(0.03)
    assert now_s == pytest.approx(time.monotonic(), abs=5)
    device.close(drain=True)
    assert Stream.made.log == ["start", "stop", "close"]
    assert device.failure is None


def test_a_sound_device_with_a_short_buffer_needs_no_drop(stream: type[Stream]) -> None:
    device = SoundDevice()
    device.open(RATE_HZ, CountingSource().pull)
    assert not device.needs_drop


def test_a_sound_device_with_a_long_buffer_needs_drop_which_restarts_it(
    stream: type[Stream],
) -> None:
    stream.latency = FADE_S * 4
    device = SoundDevice()
    device.open(RATE_HZ, CountingSource().pull)
    assert device.needs_drop
    device.drop()
    assert Stream.made.log == ["start", "abort", "start"]
    assert device.failure is None, "the stop was requested"
    device.close(drain=False)
    assert Stream.made.log[-2:] == ["abort", "close"]


def test_an_unplugged_device_sets_its_failure(stream: type[Stream]) -> None:
    device = SoundDevice()
    device.open(RATE_HZ, CountingSource().pull)
    Stream.made.options["finished_callback"]()
    assert "stopped" in str(device.failure)
    device.close(drain=True)
    assert Stream.made.log[-2:] == ["abort", "close"]


def without_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)


def with_broken_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stream, "broken", "Invalid number of channels")


@pytest.mark.parametrize("lack", [without_module, with_broken_device])
def test_a_missing_sound_device_raises_with_the_remedy(
    stream: type[Stream],
    monkeypatch: pytest.MonkeyPatch,
    lack: Callable[[pytest.MonkeyPatch], None],
) -> None:
    lack(monkeypatch)
    with pytest.raises(DeviceFailed, match=r"-o hello\.wav"):
        SoundDevice().open(RATE_HZ, CountingSource().pull)
