"""The decoder's process: its results, its limits, and that nothing it does hurts the server."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from backend.audio import decoder_process
from backend.errors import BadMessage
from backend.synthesis import recording_decoder
from backend.synthesis.recording_decoder import decode_recording
from tests.support.engines.cloning_model import recording

LIMITED = "from backend.audio.decoder_process import *; limit_resources(); "
FAULTS = {
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "exits": "import sys; sys.exit(3)",
    "takes all memory": LIMITED + "x = b'x' * (4 << 30)",
    "writes files": LIMITED + "open(__import__('tempfile').mktemp(), 'wb').write(b'x' * 9999)",
    "computes for ever": LIMITED
    + "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "-recording"  # a name that could be an option
    path.write_bytes(recording(6.0, "OGG", rate_hz=44_100, channels=2))
    return path


def test_samples_come_back_unchanged(path: Path) -> None:
    expected, rate_hz = decoder_process.decode(str(path))
    samples, got_hz = decode_recording(path)
    assert got_hz == rate_hz
    assert np.array_equal(samples, expected)


def test_a_refusal_comes_back_with_its_message(path: Path) -> None:
    path.write_bytes(b"these are words")
    with pytest.raises(BadMessage, match="WAV, FLAC, MP3 or OGG"):
        decode_recording(path)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_decoder_that_fails_refuses_the_recording(path: Path, fault: str) -> None:
    with pytest.raises(BadMessage, match="could not be decoded"):
        decode_recording(path, [sys.executable, "-c", FAULTS[fault]])


def test_a_decoder_that_hangs_is_ended(path: Path) -> None:
    with pytest.raises(BadMessage, match="too much time"):
        decode_recording(path, [sys.executable, "-c", "import time; time.sleep(600)"], 0.5)


def test_the_decoder_is_limited_before_it_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(decoder_process, "limit_resources", lambda: order.append("limited"))

    def decode(_: str) -> None:
        order.append("read")
        raise BadMessage("enough")

    monkeypatch.setattr(decoder_process, "decode", decode)
    with pytest.raises(SystemExit):
        decoder_process.main(str(path))
    assert order == ["limited", "read"]


def test_the_decoder_does_not_get_the_servers_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEX_TTS_ACCESS__API_KEYS", "secret")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert "secret" not in str(recording_decoder._environment())
    assert "/elsewhere" not in str(recording_decoder._environment())
