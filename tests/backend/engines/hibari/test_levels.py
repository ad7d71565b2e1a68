"""The embedded voice as a context sends it: audible at once, complete, at the target loudness."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy.signal import resample_poly

from backend.audio.leading_silence import SilenceTrimmer
from backend.audio.loudness import Limiter, first_audible, gain_to_target, measure_lufs
from backend.engines.base import Pcm, Release
from backend.tts_manager import _LOUDNESS_TEXT
from bench.harness.corpus import load_corpus
from tests.support.engines.hibari_model import begin_utterance, join, render
from tests.support.engines.rendering import render_release

RATE_HZ = 24_000
FIRST_WORDS = (
    "His He Her How House Happy Half Hello Five Four Fish Find First For See Sun Some Six Snow "
    "Three Think Thanks That The Them Then There This Through Thursday Peter Paper Please People "
    "Table Take Tell Ten To Kate Keep Cats Can Could Shall She Should Short Which Where We Would "
    "What You Yes Year Your Very Voice View Zero Zebra Just Jump January Great Go Good Get Big But "
    "Book Before Dogs Do Did Don't More My Many Maybe No Not Now Never Let Like Look Last Right "
    "Run Read Red All Are After Again Only Over Old Once It In If Is Us Up Under Every Each"
)


def render_first_word(word: str, seed: int) -> Pcm:
    """The first release of a sentence: one word, at the target loudness."""
    text = f"{word} went there and back."
    chunks = render_release(begin_utterance(seed=seed), Release(text, len(word) + 1))
    return join(list(chunks)) * np.float32(gain())


@cache
def gain() -> float:
    return gain_to_target(measure_lufs(join(render(_LOUDNESS_TEXT)), RATE_HZ))


@pytest.mark.slow
def test_first_words_are_audible_at_once_and_complete() -> None:
    waits_ms, lost_db = [], []
    for word, seed in itertools.product(FIRST_WORDS.split(), (1, 2)):
        rendered = render_first_word(word, seed)
        sent = SilenceTrimmer(RATE_HZ).trim(rendered, math.inf)
        audible = first_audible(sent, RATE_HZ)
        assert audible is not None, word
        waits_ms.append(audible * 1000 / RATE_HZ)
        lost = np.square(rendered[: len(rendered) - len(sent)]).sum()
        lost_db.append(10 * np.log10(lost / np.square(rendered).sum() + 1e-12))
    assert len(waits_ms) > 200
    assert np.percentile(waits_ms, 95) <= 30
    assert max(lost_db) < -45  # relative to the word's energy: the trimmed part is inaudible


@pytest.mark.slow
def test_speech_has_the_target_loudness_and_limited_peaks() -> None:
    texts = [entry.text for entry in load_corpus(limit=12) if entry.speakable]
    loudness, peaks_dbfs = [], []
    for volume, text in itertools.product((1.0, 2.0), texts):
        limiter = Limiter(RATE_HZ)
        factor = np.float32(gain() * volume)
        heard = np.concatenate([limiter.limit(chunk.pcm * factor) for chunk in render(text)])
        peaks_dbfs.append(20 * np.log10(np.abs(resample_poly(heard, 8, 1)).max()))
        if volume == 1:
            loudness.append(measure_lufs(heard, RATE_HZ))
    assert np.mean(np.array(loudness, float)) == pytest.approx(-18, abs=1)
    assert max(peaks_dbfs) <= -1.0


PHRASES = (
    ("The keys are on the table ", "next to the blue bowl."),
    ("I forgot ", "my umbrella this morning."),
    ("Please bring the children ", "to the museum on Friday."),
    ("She wanted to leave ", "before the guests arrived."),
)


@pytest.mark.parametrize(("phrase", "rest"), PHRASES)
def test_a_phrase_before_a_pause_decays_and_the_next_has_its_own_onset(
    phrase: str, rest: str
) -> None:
    engine, next_word = begin_utterance(seed=1), rest.split()[0] + " "
    release = Release(phrase + next_word, len(phrase), pause=True)
    before = join(list(render_release(engine, release)))
    whole_text = phrase + rest
    after = join(list(render_release(engine, Release(whole_text, len(whole_text), final=True))))
    edge = int(0.002 * RATE_HZ)
    for end in (before[-edge:], after[:edge]):
        assert 20 * np.log10(np.abs(end).max() * gain() + 1e-6) < -30  # inside a word 10 to 15 dB


def test_a_phrase_before_a_pause_is_not_spoken_as_the_end_of_a_sentence() -> None:
    for phrase, rest in PHRASES:
        engine, whole_text = begin_utterance(seed=1), phrase + rest
        known = phrase + rest.split()[0] + " "
        pieces = [*render_release(engine, Release(known, len(phrase), pause=True))]
        pieces += render_release(engine, Release(whole_text, len(whole_text), final=True))
        assert len(join(pieces)) == pytest.approx(len(join(render(whole_text))), rel=0.15)
