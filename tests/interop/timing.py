"""Checks word timestamps against the audio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tests.interop.listening import RATE_HZ, AudioClip, SpeechChecker

AUDIBLE_PEAK = 0.02


def expect_timed(
    checker: SpeechChecker,
    clip: AudioClip,
    text: str,
    words: Sequence[tuple[str, float]],
    origin_s: float = 0.0,
) -> None:
    """Fail unless these are the text's words in order, and cutting the clip at each sentence start
    separates the words on both sides.

    `words`: with start times in seconds; the clip starts at `origin_s`.
    """
    assert [word.strip() for word, _ in words] == text.split()
    starts_s = [start_s - origin_s for _, start_s in words]
    assert all(a <= b for a, b in pairwise(starts_s)), words
    assert starts_s[-1] < clip.duration_s
    for n, start_s in enumerate(starts_s[1:], 1):
        if words[n - 1][0].strip().endswith("."):
            expect_cut(checker, clip, start_s, (words[n - 1][0], words[n][0]))


def expect_cut(
    checker: SpeechChecker, clip: AudioClip, cut_s: float, words: tuple[str, str]
) -> None:
    """Fail unless the part before the cut ends with the first word and the part after it begins
    with the second.
    """
    cut = int((cut_s - 0.05) * RATE_HZ)
    before, after = (
        transcribe_samples(checker, part) for part in (clip.samples[:cut], clip.samples[cut:])
    )
    assert before.endswith(normalize_words(words[0])), f"{before!r} does not end with {words[0]!r}"
    assert after.startswith(normalize_words(words[1])), (
        f"{after!r} does not begin with {words[1]!r}"
    )


def transcribe_samples(checker: SpeechChecker, samples: np.ndarray) -> str:
    """The transcript, without punctuation."""
    return normalize_words(checker.word_error_rate(AudioClip(samples), "")[1])


def normalize_words(text: str) -> str:
    """Reduce to lower-case letters, apostrophes and single spaces."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def find_onset_s(clip: AudioClip) -> float:
    """The time of the first audible sample."""
    return float(np.argmax(np.abs(clip.samples.astype(np.int32)) > AUDIBLE_PEAK * 32768)) / RATE_HZ
