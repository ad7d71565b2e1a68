"""`OpusEncoder`, and what happens without libopus."""

from __future__ import annotations

import numpy as np
import pytest

from backend.audio import formats, libopus
from backend.audio.codecs import LibavCodec
from backend.audio.formats import parse_format


def test_a_frame_of_a_wrong_length_is_refused() -> None:
    encoder = libopus.OpusEncoder(24_000, 16_000)
    with pytest.raises(RuntimeError, match="libopus error"):
        encoder.encode(np.zeros(481, np.float32))


def test_the_delay_is_that_of_the_standard_encoder() -> None:
    assert libopus.OpusEncoder(48_000, 16_000).lookahead == 312


def test_without_libopus_the_rate_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "load_libopus", lambda: None)
    target = parse_format("opus", None, "auto")
    assert isinstance(formats.FORMATS["opus"].open_codec(target), LibavCodec)
    encoder = formats.create_encoder(24_000, target)
    encoder.set_bits_per_s(16_000)
    assert encoder.encode(np.zeros(4800, np.float32)).data
