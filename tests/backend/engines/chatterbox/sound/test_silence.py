"""Shortening the silences of a stream of chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from backend.engines.chatterbox.sound.silence import PauseShortener, SpeechEnd

RATE_HZ = 24_000


def tone(seconds: float, level: float = 0.3) -> Any:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * 200 * t)).astype(np.float32)


def nothing(seconds: float) -> Any:
    return np.zeros(int(seconds * RATE_HZ), np.float32)


def shorten(parts: Sequence[Any], chunk_s: float = 100, end: SpeechEnd | None = None) -> Any:
    sound, size = np.concatenate(parts), int(chunk_s * RATE_HZ)
    shortener = PauseShortener(RATE_HZ)
    chunks = [shortener.shorten(sound[n : n + size], end) for n in range(0, len(sound), size)]
    return np.concatenate([*chunks, shortener.finish()])


def seconds(pcm: Any) -> float:
    return len(pcm) / RATE_HZ


@pytest.mark.parametrize("chunk_s", [100, 0.24, 0.02, 0.005])
def test_silences_are_shortened_alike_however_the_sound_is_cut(chunk_s: float) -> None:
    parts = [tone(0.5), nothing(1.0), tone(0.5), nothing(0.2), tone(0.5), nothing(2.0)]
    pcm = shorten(parts, chunk_s)
    assert seconds(pcm) == pytest.approx(0.5 + 0.3 + 0.5 + 0.2 + 0.5 + 0.3, abs=0.021)
    np.testing.assert_array_equal(pcm[: RATE_HZ // 2], parts[0])
    np.testing.assert_array_equal(pcm, shorten(parts))


def test_silence_before_the_first_sound_is_heard_behind_the_last() -> None:
    pcm = shorten([nothing(0.2), tone(0.5), nothing(0.05)])
    assert np.abs(pcm[:480]).max() > 0.05
    assert seconds(pcm) == pytest.approx(0.5 + 0.2, abs=0.011)
    pcm = shorten([nothing(2.0), tone(0.5), nothing(0.2)])
    assert seconds(pcm) == pytest.approx(0.5 + 0.3, abs=0.011)


@pytest.mark.parametrize("chunk_s", [100, 0.24, 0.01])
def test_a_soft_onset_is_kept(chunk_s: float) -> None:
    onset = tone(0.03, 0.003)  # -54 dBFS
    for before in ([], [tone(0.5)]):
        pcm = shorten([*before, nothing(0.8), onset, tone(0.5)], chunk_s)
        start = len(pcm) - RATE_HZ // 2 - len(onset)
        if not before:  # and then the silence that was before it
            start -= int(0.3 * RATE_HZ)
        kept = pcm[start : start + len(onset)]
        np.testing.assert_allclose(kept[60:], onset[60:], atol=1e-6)


def test_low_noise_is_silence_and_long_low_noise_no_onset() -> None:
    noise = (0.002 * np.random.default_rng(1).standard_normal(2 * RATE_HZ)).astype(np.float32)
    assert seconds(shorten([tone(0.5), noise, tone(0.5)])) < 0.5 + 0.3 + 0.05 + 0.5 + 0.01


def test_sound_resumes_without_a_click() -> None:
    high = np.full(RATE_HZ // 2, 0.3, np.float32)
    pcm = shorten([high, nothing(1.0), high])
    resumed = int(0.8 * RATE_HZ)
    assert np.abs(np.diff(pcm[resumed - 9 :])).max() < 0.02


def test_silence_is_not_held_back() -> None:
    shortener = PauseShortener(RATE_HZ)
    pcm = shortener.shorten(np.concatenate([tone(0.3), nothing(0.25)]))
    assert seconds(pcm) == pytest.approx(0.55)


@pytest.mark.parametrize(("sound_s", "ends"), [(0.5, True), (0.6, False)])
def test_silence_behind_the_whole_text_ends_the_passage(sound_s: float, ends: bool) -> None:
    parts = [nothing(0.4), tone(0.55), nothing(1.2), tone(0.5)]
    pcm = shorten(parts, 0.24, SpeechEnd(sound_s, 1.0))
    assert seconds(pcm) == pytest.approx(0.55 + 0.3 + (0 if ends else 0.8), abs=0.06)


def test_the_next_passage_is_heard_after_an_end() -> None:
    shortener = PauseShortener(RATE_HZ)
    end = SpeechEnd(0.1, 0.3)
    shortener.shorten(np.concatenate([tone(0.2), nothing(0.4), tone(0.2)]), end)
    assert shortener.ended
    assert not len(shortener.shorten(tone(0.2), end))
    shortener.begin_passage()
    assert len(shortener.shorten(tone(0.2), end)) == int(0.2 * RATE_HZ)


def test_silence_alone_has_nothing_behind_it() -> None:
    assert not len(shorten([nothing(3.0)], 0.24))
    assert not len(PauseShortener(RATE_HZ).shorten(nothing(0)))
