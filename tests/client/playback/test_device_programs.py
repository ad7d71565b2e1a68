"""Player programs, replaced by small scripts in a folder that is the only one in PATH."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from duplex_tts.playback.device_programs import LEAD_S, QUIET_AFTER_S, ProgramDevice
from duplex_tts.playback.devices import DeviceFailed
from duplex_tts.playback.mixer import Mixer, Pcm

RATE_HZ = 24000


class Programs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, script: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\ncd {self.folder}\n{script}\n")
        (self.folder / name).chmod(0o755)

    def heard(self, name: str = "heard") -> list[int]:
        """The samples recorded by a program, without silence."""
        data = (self.folder / name).read_bytes()
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
        return [int(sample) for sample in samples if sample]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Programs(tmp_path)


def eventually(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def mixer_with(*samples: int) -> Mixer:
    """A mixer with one complete track."""
    mixer = Mixer(RATE_HZ)
    track = mixer.add_track()
    mixer.push_audio(track, np.array(samples, "<i2").tobytes(), time.monotonic())
    mixer.end_track(track)
    return mixer


def silence(frames: int, now_s: float, delay_s: float) -> Pcm:
    return np.zeros(frames, np.int16)


def played_out(mixer: Mixer) -> bool:
    return not mixer._queue


def test_a_program_receives_the_samples_and_the_rate(programs: Programs) -> None:
    programs.add("aplay", 'echo "$@" > flags; exec /bin/cat > heard')
    speech = list(range(1, 5001))
    mixer, device = mixer_with(*speech), ProgramDevice("aplay")
    device.open(RATE_HZ, mixer.pull_block)
    eventually(lambda: played_out(mixer))
    device.close(drain=True)
    assert programs.heard() == speech
    assert "-r 24000 -c 1" in (programs.folder / "flags").read_text()


def test_closing_with_drain_waits_for_the_program(programs: Programs) -> None:
    programs.add("aplay", "/bin/cat > /dev/null; /bin/sleep 0.3; echo > left")
    mixer, device = mixer_with(1, 2, 3), ProgramDevice("aplay")
    device.open(RATE_HZ, mixer.pull_block)
    eventually(lambda: played_out(mixer))
    device.close(drain=True)
    assert (programs.folder / "left").exists()


def test_a_program_is_written_ahead_by_the_lead_only(programs: Programs) -> None:
    programs.add("aplay", "exec /bin/cat > heard")
    asked: list[tuple[float, float]] = []

    def tone(frames: int, now_s: float, delay_s: float) -> Pcm:
        asked.append((time.monotonic() - now_s, delay_s))
        return np.ones(frames, np.int16)

    device = ProgramDevice("aplay")
    device.open(RATE_HZ, tone)
    started_s = time.monotonic()
    eventually(lambda: len(asked) > 50)
    took_s = time.monotonic() - started_s
    device.close(drain=False)
    assert took_s > 0.5 - LEAD_S - 0.05
    assert device.delay_s > LEAD_S
    assert {delay_s for _, delay_s in asked} == {device.delay_s}


@pytest.mark.slow
def test_nothing_is_written_after_a_second_of_silence(programs: Programs) -> None:
    programs.add("aplay", "exec /bin/cat > heard")
    pulls = []

    def pull(frames: int, now_s: float, delay_s: float) -> Pcm:
        pulls.append(now_s)
        return np.full(frames, len(pulls) == 1, np.int16)

    device = ProgramDevice("aplay")
    device.open(RATE_HZ, pull)
    eventually(lambda: len(pulls) > (QUIET_AFTER_S + 0.5) * 100)
    device.close(drain=True)
    written_s = (programs.folder / "heard").stat().st_size / 2 / RATE_HZ
    assert written_s == pytest.approx(QUIET_AFTER_S, abs=0.02)


def test_drop_kills_the_program_and_the_next_audio_starts_another(programs: Programs) -> None:
    programs.add("aplay", "echo >> starts; /bin/cat > heard-$$; echo drained >> ends")
    mixer, device = Mixer(RATE_HZ), ProgramDevice("aplay")
    device.open(RATE_HZ, mixer.pull_block)
    first = mixer.add_track()
    mixer.push_audio(first, np.full(RATE_HZ * 60, 7, "<i2").tobytes(), time.monotonic())
    eventually(lambda: first.read > RATE_HZ // 10)
    mixer.cancel_track(first, time.monotonic(), ramp=False)
    device.drop()
    second = mixer.add_track()
    mixer.push_audio(second, np.full(240, 9, "<i2").tobytes(), time.monotonic())
    mixer.end_track(second)
    eventually(lambda: played_out(mixer))
    device.close(drain=True)
    assert (programs.folder / "starts").read_text().count("\n") == 2
    assert (programs.folder / "ends").read_text().count("\n") == 1, "the first had no time to drain"
    heard = [programs.heard(path.name) for path in programs.folder.glob("heard-*")]
    assert [9] * 240 in heard
    assert not any(7 in samples and 9 in samples for samples in heard)


def test_a_failed_program_raises_with_its_message_and_the_remedy(programs: Programs) -> None:
    programs.add("paplay", "echo 'Connection refused' >&2; exit 3")
    mixer, device = mixer_with(*[1] * RATE_HZ), ProgramDevice("paplay")
    device.open(RATE_HZ, mixer.pull_block)
    eventually(lambda: device.failure is not None)
    device.close(drain=True)
    expected = r"paplay could not play \(exit code 3\): Connection refused; .*-o hello\.wav"
    with pytest.raises(DeviceFailed, match=expected):
        raise device.failure or AssertionError


def test_closing_a_program_that_hangs_does_not_block(programs: Programs) -> None:
    programs.add("aplay", "exec /bin/sleep 600")
    mixer, device = mixer_with(*[1] * RATE_HZ), ProgramDevice("aplay")
    device.open(RATE_HZ, mixer.pull_block)
    eventually(lambda: mixer._queue[0].read > 0)
    started_s = time.monotonic()
    device.close(drain=False)
    assert time.monotonic() - started_s < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "duplex-tts-aplay"]


def test_a_missing_program_is_refused(programs: Programs) -> None:
    with pytest.raises(DeviceFailed, match="ffplay is not installed"):
        ProgramDevice("ffplay").open(RATE_HZ, silence)
