"""Which files the decoder reads, and how much of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from backend.audio.decoder_process import decode
from backend.errors import BadMessage
from tests.support.engines.cloning_model import recording


def write(folder: Path, data: bytes) -> str:
    (folder / "in").write_bytes(data)
    return str(folder / "in")


def refusal(folder: Path, data: bytes) -> str:
    with pytest.raises(BadMessage) as caught:
        decode(write(folder, data))
    return caught.value.message


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_decoded(tmp_path: Path, kind: str, channels: int) -> None:
    data = recording(6.0, kind, rate_hz=44_100, channels=channels)
    samples, rate_hz = decode(write(tmp_path, data))
    assert len(samples) / rate_hz == pytest.approx(6.0, abs=0.1)  # an MP3 has a delay
    assert (rate_hz, samples.shape[1]) == (44_100, channels)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.05)


def test_a_very_long_recording_is_not_decoded_entirely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, frames: int = -1, **how: object) -> object:
        asked.append(frames)
        return read(self, frames, **how)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    samples, _ = decode(write(tmp_path, recording(600, "FLAC", rate_hz=8000)))
    assert len(samples) == 31 * 8000  # and is refused as too long
    assert asked == [31 * 8000]


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 100_000, recording()[:20]])
def test_a_file_that_is_not_audio_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "WAV, FLAC, MP3 or OGG" in refusal(tmp_path, data)


@pytest.mark.parametrize("data", [b"RIFF\xff\xff\xff\xffWAVEfmt ", recording()[:44]])
def test_a_file_without_samples_gives_none(tmp_path: Path, data: bytes) -> None:
    try:
        samples, _ = decode(write(tmp_path, data))
    except BadMessage:
        return
    assert not len(samples)


def test_other_audio_formats_are_refused(tmp_path: Path) -> None:
    assert "AIFF is not supported" in refusal(tmp_path, recording(6, "AIFF"))


def test_more_than_two_channels_are_refused(tmp_path: Path) -> None:
    assert "got 6" in refusal(tmp_path, recording(6, channels=6))
