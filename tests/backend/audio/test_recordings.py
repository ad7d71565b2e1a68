"""Which recordings are accepted for voices, and the errors for others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from backend.audio.recordings import write_mono_wav
from backend.errors import BadMessage
from tests.support.engines.cloning_model import recording


def convert(folder: Path, data: bytes) -> tuple[float, int, int]:
    """Seconds, Hz and channels of the converted recording."""
    (folder / "in").write_bytes(data)
    write_mono_wav(folder / "in", folder / "out.wav")
    samples, rate_hz = soundfile.read(folder / "out.wav", always_2d=True)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.05)
    return len(samples) / rate_hz, rate_hz, samples.shape[1]


def refusal(folder: Path, data: bytes) -> str:
    (folder / "in").write_bytes(data)
    with pytest.raises(BadMessage) as caught:
        write_mono_wav(folder / "in", folder / "out.wav")
    assert not (folder / "out.wav").exists()
    return caught.value.message


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_becomes_a_mono_wav(tmp_path: Path, kind: str, channels: int) -> None:
    data = recording(6.0, kind, rate_hz=44_100, channels=channels)
    seconds, rate_hz, channels = convert(tmp_path, data)
    assert seconds == pytest.approx(6.0, abs=0.1)  # an MP3 has a delay
    assert (rate_hz, channels) == (44_100, 1)


@pytest.mark.parametrize("seconds", [5.0, 30.0])
def test_the_shortest_and_longest_durations_are_accepted(tmp_path: Path, seconds: float) -> None:
    assert convert(tmp_path, recording(seconds))[0] == seconds


@pytest.mark.parametrize(("seconds", "expected"), [(4.9, "4.9 s long"), (30.1, "longer")])
def test_recordings_too_short_or_too_long_are_refused(
    tmp_path: Path, seconds: float, expected: str
) -> None:
    message = refusal(tmp_path, recording(seconds))
    assert "5 to 30 s" in message
    assert expected in message


def test_a_very_long_recording_is_not_decoded_entirely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, frames: int = -1, **how: object) -> object:
        asked.append(frames)
        return read(self, frames, **how)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    assert "longer" in refusal(tmp_path, recording(600, "FLAC", rate_hz=8000))
    assert asked == [31 * 8000]


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x00" * 100_000, b"RIFF\xff\xff\xff\xffWAVEfmt ", recording()[:40]]
)
def test_a_file_that_is_not_audio_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "WAV, FLAC, MP3 or OGG" in refusal(tmp_path, data) or "0.0 s" in refusal(tmp_path, data)


def test_other_audio_formats_are_refused(tmp_path: Path) -> None:
    assert "AIFF is not supported" in refusal(tmp_path, recording(6, "AIFF"))


def test_more_than_two_channels_are_refused(tmp_path: Path) -> None:
    assert "got 6" in refusal(tmp_path, recording(6, channels=6))


@pytest.mark.parametrize("level", [0.0, 1e-5, np.nan, np.inf])
def test_silence_and_non_finite_samples_are_refused(tmp_path: Path, level: float) -> None:
    file = io.BytesIO()
    samples = np.full(6 * 16_000, level, np.float32)
    soundfile.write(file, samples, 16_000, subtype="FLOAT", format="WAV")
    expected = "silent" if np.isfinite(level) else "not numbers"
    assert expected in refusal(tmp_path, file.getvalue())


def wav(samples: np.ndarray[Any, np.dtype[np.float32]], rate_hz: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, subtype="FLOAT", format="WAV")
    return file.getvalue()


TONE = 0.3 * np.sin(np.arange(6 * 16_000) * 0.05, dtype=np.float32)
SPEECHLESS = {
    "far beyond full scale": (np.full(96_000, 3e38, np.float32), "times full scale"),
    "integers as real numbers": (TONE * 32_768, "times full scale"),
    "a single sample beyond": (np.where(np.arange(96_000) == 9, -1e9, TONE), "times full scale"),
    "channels whose sum overflows": (np.full((96_000, 2), 3e38, np.float32), "times full scale"),
    "one sample is not a number": (np.where(np.arange(96_000) == 9, np.nan, TONE), "not numbers"),
    "infinities that cancel": (np.tile(np.array([np.inf, -np.inf]), (96_000, 1)), "not numbers"),
    "a constant": (np.full(96_000, 0.5, np.float32), "is silent"),
    "a click": (np.where(np.arange(96_000) == 9, np.float32(0.9), np.float32(0)), "of sound"),
    "a short word": (np.where(np.arange(96_000) < 8_000, TONE, np.float32(0)), "0.5 s of sound"),
    "noise of a converter": (TONE * np.float32(1e-4), "is silent"),
    "channels that cancel": (np.stack([TONE, -TONE], axis=1), "cancel each other"),
}


@pytest.mark.parametrize("case", SPEECHLESS)
def test_a_recording_without_a_voice_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    samples, expected = SPEECHLESS[case]
    assert expected in refusal(tmp_path, wav(samples.astype(np.float32)))


@pytest.mark.parametrize("gain", [1.0, 3.4, 10.0])
def test_a_recording_slightly_too_loud_is_scaled_down(tmp_path: Path, gain: float) -> None:
    (tmp_path / "in").write_bytes(wav(TONE * np.float32(gain)))
    write_mono_wav(tmp_path / "in", tmp_path / "out.wav")
    samples, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert np.abs(samples).max() == pytest.approx(min(1.0, 0.3 * gain), abs=1e-3)


def test_one_silent_channel_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(wav(np.stack([TONE, 0 * TONE], axis=1)))
    write_mono_wav(tmp_path / "in", tmp_path / "out.wav")
