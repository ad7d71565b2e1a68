"""Opus whose bit rate changes in mid-stream: every sample is decoded, without a click."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from backend.audio.adaptive_opus import AdaptiveOpusCodec
from backend.audio.codecs import Pcm
from tests.support.engines.hibari_model import render

RATES = (16_000, 64_000, 24_000, 48_000)
PART_S = 0.4


def voice() -> Pcm:
    text = "She sells sea shells by the shore, which are surely seashore shells."
    return np.concatenate([chunk.pcm for chunk in render(text)])


def encode(pcm: Pcm, rate_hz: int, rates: tuple[int, ...], part: int) -> list[bytes]:
    codec = AdaptiveOpusCodec(rate_hz, rates[0])
    parts = []
    for number, start in enumerate(range(0, len(pcm), part)):
        codec.set_bits_per_s(rates[number % len(rates)])
        parts.append(codec.encode(pcm[start : start + part]))
    return [*parts, codec.finish()]


def decode(data: bytes) -> Pcm:
    with av.open(io.BytesIO(data), "r") as reader:
        return np.concatenate([frame.to_ndarray()[0] for frame in reader.decode(audio=0)])


@pytest.mark.parametrize("rate_hz", [8000, 12000, 16000, 24000, 48000])
@pytest.mark.parametrize("samples", [961, 1127, 1128, 1129, 24_007, 72_000])
def test_exactly_the_encoded_samples_are_decoded(rate_hz: int, samples: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)
    data = b"".join(encode(noise, rate_hz, RATES, 1111))
    assert len(decode(data)) == samples * 48_000 // rate_hz


@pytest.mark.slow
def test_the_sound_is_in_step() -> None:
    pcm = voice()
    heard = decode(b"".join(encode(pcm, 24_000, RATES, 9600)))[::2]
    middle = slice(len(pcm) // 4, 3 * len(pcm) // 4)
    shifts = range(-60, 61)
    products = [float(np.dot(np.roll(heard, shift)[middle], pcm[middle])) for shift in shifts]
    assert abs(shifts[int(np.argmax(products))]) <= 12  # half a millisecond


def test_a_part_has_the_rate_that_was_set() -> None:
    pcm = np.concatenate([voice()] * 2)
    part = round(PART_S * 24_000)
    sizes = encode(pcm, 24_000, (16_000, 64_000), part)[:-2]
    low, high = (np.mean([len(data) * 8 / PART_S for data in sizes[n::2]]) for n in (0, 1))
    assert 13_000 < low < 20_000
    assert 48_000 < high < 70_000


def test_a_constant_rate_has_no_peaks() -> None:
    codec = AdaptiveOpusCodec(24_000, 16_000)
    codec.set_bits_per_s(16_000, is_constant=True)
    pcm, part = voice(), round(PART_S * 24_000)
    sizes = [len(codec.encode(pcm[start : start + part])) for start in range(0, len(pcm), part)]
    assert max(sizes[1:-1]) - min(sizes[1:-1]) <= 1


def test_a_change_of_the_rate_makes_no_click() -> None:
    """At a change the signal is no rougher than in streams of either rate, or elsewhere."""
    pcm = np.concatenate([voice()] * 3)
    part = round(PART_S * 24_000)
    low, high, mixed = (
        np.abs(np.diff(decode(b"".join(encode(pcm, 24_000, rates, part))), 3))
        for rates in ((16_000,), (64_000,), (16_000, 64_000))
    )

    def roughness(at: int) -> float:
        near = slice(at - 200, at + 2400)
        return float(mixed[near].max() / (max(low[near].max(), high[near].max()) + 1e-4))

    seams = range(2 * part, 2 * len(pcm) - 2400, 2 * part)
    at_seams = max(roughness(at) for at in seams)
    elsewhere = max(roughness(at - part) for at in seams)
    assert at_seams < max(1.6, 1.3 * elsewhere)


def test_a_part_is_one_page() -> None:
    parts = encode(np.zeros(48_000, np.float32), 24_000, RATES, 9600)
    assert [data.count(b"OggS") for data in parts] == [3, 1, 1, 1, 1, 1]  # with two of headers
    long = AdaptiveOpusCodec(24_000, 16_000).encode(np.zeros(72_000, np.float32))
    assert long.count(b"OggS") == 2 + 3
