"""Reading recordings and computing voices from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from backend.engines.chatterbox.voices.recording import (
    compute_conditioning,
    conditioning_of,
    read_recording,
)
from backend.errors import BadMessage
from tests.support.chatterbox.recordings import recording
from tests.support.chatterbox.tiny import quiet, tiny

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_supported_formats_are_read(tmp_path: Path, suffix: str) -> None:
    read = read_recording(recording(tmp_path / f"voice.{suffix}", 6.0, 44_100))
    assert abs(len(read) / 24_000 - 6.0) < 0.1
    assert read.dtype == np.float32
    assert np.abs(read).max() > 0.2


@pytest.mark.parametrize("seconds", [0.0, 2.4, 30.5])
def test_recording_of_wrong_length_raises_with_limits(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(BadMessage, match=r"2\.5 to 30 s"):
        read_recording(recording(tmp_path / "voice.wav", seconds))


def test_silent_and_unreadable_recordings_raise(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(6 * 24_000), 24_000)
    with pytest.raises(BadMessage, match="silent"):
        read_recording(tmp_path / "silent.wav")
    (tmp_path / "text.wav").write_text("not a sound file")
    for name in ("text.wav", "nothing.wav"):
        with pytest.raises(BadMessage, match="WAV, FLAC, MP3 or OGG"):
            read_recording(tmp_path / name)


@both
def test_conditioning_equals_upstreams_bit_for_bit(turbo: bool, tmp_path: Path) -> None:
    upstream = tiny(turbo=turbo)
    path = recording(tmp_path / "voice.wav", 12.0)
    if turbo:  # upstream fails with float64, which its loudness returns
        level = upstream.norm_loudness
        upstream.norm_loudness = lambda *args: level(*args).astype(np.float32)
    with quiet():
        upstream.prepare_conditionals(path)
        expected = conditioning_of(upstream.conds)
        voice = compute_conditioning(upstream, read_recording(path))
    assert torch.equal(voice.speaker, expected.speaker)
    assert torch.equal(voice.prompt_tokens, expected.prompt_tokens)
    for name, tensor in expected.sound.items():
        assert torch.equal(voice.sound[name], tensor), name
