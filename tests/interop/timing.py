"""Whether words are heard when a protocol says they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tests.interop.listening import RATE_HZ, Ear, Sound

LOUD = 0.02


def expect_timed(
    ear: Ear, sound: Sound, text: str, words: Sequence[tuple[str, float]], origin_s: float = 0.0
) -> None:
    """Fail unless these are the words of the text, in order, and the sound, cut where a sentence is
    said to begin, ends and begins with the words on both sides.

    `words`: each with the second at which it begins, counted from where the sound is at `origin_s`.
    """
    assert [word.strip() for word, _ in words] == text.split()
    starts_s = [start_s - origin_s for _, start_s in words]
    assert all(a <= b for a, b in pairwise(starts_s)), words
    assert starts_s[-1] < sound.duration_s
    for n, start_s in enumerate(starts_s[1:], 1):
        if words[n - 1][0].strip().endswith("."):
            expect_cut(ear, sound, start_s, (words[n - 1][0], words[n][0]))


def expect_cut(ear: Ear, sound: Sound, at_s: float, words: tuple[str, str]) -> None:
    """Cut here, what is before ends with the first of two words, what is behind begins with the
    second.
    """
    at = int((at_s - 0.05) * RATE_HZ)
    before, behind = (heard_in(ear, part) for part in (sound.samples[:at], sound.samples[at:]))
    assert before.endswith(plain(words[0])), f"{before!r} does not end with {words[0]!r}"
    assert behind.startswith(plain(words[1])), f"{behind!r} does not begin with {words[1]!r}"


def heard_in(ear: Ear, samples: np.ndarray) -> str:
    """What is understood, without marks."""
    return plain(ear.word_error_rate(Sound(samples), "")[1])


def plain(text: str) -> str:
    """Lower case letters and single spaces."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def onset_s(sound: Sound) -> float:
    """When something is heard first."""
    return float(np.argmax(np.abs(sound.samples.astype(np.int32)) > LOUD * 32768)) / RATE_HZ
