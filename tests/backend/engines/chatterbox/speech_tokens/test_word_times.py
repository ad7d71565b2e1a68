"""Word times from attention: planted speech, noise, and attention that is none."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.chatterbox.speech_tokens import attention_path
from backend.engines.chatterbox.speech_tokens.word_times import TAIL_TOKENS, WordAligner, WordEnd
from backend.text.words import word_ends
from tests.support.chatterbox.planted_attention import PIECES, Speech, token_ends

SHORT = "Well then my dear old friend we shall see what comes of it."
LONG = (
    "Good morning. The train to Bristol leaves at a quarter past nine from platform four, and the "
    "next one goes an hour later, calling at Reading, Swindon and Bath. Please have tickets ready."
)
TEXTS = (SHORT, LONG, "It was late, and the road went on; nobody spoke.", "Hello there.", "Yes.")
SEEDS = range(10)
both = pytest.mark.parametrize("pieces", PIECES)


def follow(text: str, ends: list[int], attended: list[int]) -> WordAligner:
    aligner = WordAligner()
    aligner.extend_text(text, ends)
    aligner.add_attended(attended)
    return aligner


def errors_ms(text: str, pieces: str, speech: Speech) -> list[float]:
    """Of all word ends."""
    ends = token_ends(text, pieces)
    attended, times = speech.attend(text, ends)
    words = follow(text, ends, attended).find_words(len(attended), len(text))
    assert words is not None
    assert [word.end for word in words] == word_ends(text)
    return [40 * abs(word.token - times[word.end]) for word in words[:-1]]


def many_errors_ms(
    pieces: str, texts: tuple[str, ...] = TEXTS, **speech: Any
) -> np.ndarray[Any, Any]:
    return np.array(
        [
            error
            for seed in SEEDS
            for text in texts
            for error in errors_ms(text, pieces, Speech(seed=seed, **speech))
        ]
    )


# --- times ----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "speech",
    [{}, {"characters_per_s": 24}, {"characters_per_s": 7, "pause_tokens": 40}, {"lead": 8}],
    ids=["usual", "fast", "slow", "late start"],
)
def test_words_end_when_attention_leaves_them(pieces: str, speech: dict[str, Any]) -> None:
    assert many_errors_ms(pieces, **speech).max() <= 40


@both
@pytest.mark.parametrize("characters_per_s", [8, 14, 24])
def test_one_outlier_in_ten_moves_word_ends_by_at_most_80_ms(
    pieces: str, characters_per_s: float
) -> None:
    """But for outliers at the very boundary: there the truth is not in the attention."""
    errors = many_errors_ms(pieces, outliers=0.1, characters_per_s=characters_per_s)
    assert np.mean(errors <= 80) > 0.98
    assert errors.max() < 200


@both
def test_three_outliers_in_ten_are_followed(pieces: str) -> None:
    errors = many_errors_ms(pieces, (SHORT, LONG), outliers=0.3)
    assert np.mean(errors <= 80) > 0.9
    assert np.percentile(errors, 99) < 250


@both
def test_attention_that_stays_on_the_stop_for_a_while_is_passed_over(pieces: str) -> None:
    ends = token_ends(LONG, pieces)
    attended, times = Speech().attend(LONG, ends)
    for at in (0, 60, 140):
        attended[at : at + 8] = [len(ends) - 1] * 8
    words = follow(LONG, ends, attended).find_words(len(attended), len(LONG))
    assert words is not None
    assert max(abs(word.token - times[word.end]) for word in words[:-1]) <= 9, "the 8 are unknown"


@both
def test_attention_at_the_start_to_what_cannot_be_spoken_yet_is_passed_over(pieces: str) -> None:
    ends = token_ends(LONG, pieces)
    attended, times = Speech().attend(LONG, ends)
    attended[:16] = [len(ends) // 2] * 16
    words = follow(LONG, ends, attended).find_words(len(attended), len(LONG))
    assert words is not None
    assert all(abs(w.token - times[w.end]) <= 1 for w in words[:-1] if times[w.end] > 30)


@both
def test_words_after_a_skip_or_a_repeat_have_their_times(pieces: str) -> None:
    ends = token_ends(LONG, pieces)
    size = len(ends)
    skipping = Speech(skipped=(size // 4, size // 4 + 6))
    for speech in (skipping, Speech(repeated=(size // 2 - 6, size // 2))):
        attended, times = speech.attend(LONG, ends)
        words = follow(LONG, ends, attended).find_words(len(attended), len(LONG))
        assert words is not None
        late = [word for word in words[:-1] if word.end > ends[size // 2 + 1]]
        assert len(late) > 5
        assert all(abs(word.token - times[word.end]) <= 1 for word in late)


def test_words_inside_one_text_token_share_its_time() -> None:
    aligner = follow("ab \u4f60\u597d\u5417 cd", [2, 6, 9], [0] * 4 + [1] * 6 + [2] * 20)
    assert aligner.find_words(30, 9) == [(3, 4), (4, 5.5), (5, 7), (7, 10), (9, 30)]


# --- what holds for any attention -----------------------------------------------------------------


@st.composite
def spoken_texts(draw: st.DrawFn) -> tuple[str, list[int], list[int]]:
    """A text, its token ends, and attention: that of a speech in part, else anything."""
    text = draw(st.text("ab .,\u00a0\u4f60", min_size=1, max_size=60))
    ends = token_ends(text, draw(st.sampled_from(PIECES)))
    if draw(st.booleans()):
        ends = sorted(draw(st.lists(st.integers(0, len(text) + 3), max_size=40)))
    anything = st.lists(st.integers(-2, len(ends) + 2), max_size=60)
    if len(ends) < 3 or draw(st.booleans()):
        return text, ends, draw(anything)
    speech = Speech(outliers=draw(st.floats(0, 0.5)), seed=draw(st.integers(0, 99)))
    attended = speech.attend(text, ends)[0]
    return text, ends, attended[: draw(st.integers(0, 200))] + draw(anything)


@given(spoken_texts())
def test_word_times_tile_what_was_spoken(spoken: tuple[str, list[int], list[int]]) -> None:
    text, ends, attended = spoken
    aligner = follow(text, ends, attended)
    if (words := aligner.find_words(len(attended), len(text))) is None:
        return
    assert [word.end for word in words] == word_ends(text)
    times = [0.0, *(word.token for word in words)]
    assert all(one <= other for one, other in pairwise(times))
    assert times[-1] == len(attended)


@given(spoken_texts())
def test_settled_words_are_those_of_the_whole(spoken: tuple[str, list[int], list[int]]) -> None:
    text, ends, attended = spoken
    growing, settled = follow(text, ends, []), list[WordEnd]()
    for n, token in enumerate(attended, 1):
        growing.add_attended([token])
        words = growing.find_words(n)
        assert words is None or growing.trusted
        if words is not None:
            assert words[: len(settled)] == settled, "never revised"
            assert all(word.token <= n - attention_path.LAG for word in words)
            settled = words
        reached = growing.text_reached()
        assert (reached is None) == (words is None)
        assert reached is None or 0 <= reached <= len(text)
    whole = follow(text, ends, attended)
    assert whole.trusted == growing.trusted
    words = whole.find_words(len(attended), len(text))
    if words is not None:
        found = {*words[: len(settled)]}
        assert all(word in found for word in settled if word.end < len(text))


@both
def test_the_lag_costs_no_accuracy(pieces: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a search that settles nothing before the end."""
    spoken = [
        (text, token_ends(text, pieces), Speech(seed=seed, outliers=0.1))
        for text in TEXTS
        for seed in SEEDS
    ]

    def find_all() -> list[WordEnd]:
        found: list[WordEnd] = []
        for text, ends, speech in spoken:
            attended, _ = speech.attend(text, ends)
            found += follow(text, ends, attended).find_words(len(attended), len(text)) or []
        return found

    lagged = find_all()
    monkeypatch.setattr(attention_path, "LAG", 10_000)
    whole = find_all()
    assert [word.end for word in lagged] == [word.end for word in whole]
    same = np.mean([one.token == other.token for one, other in zip(lagged, whole, strict=True)])
    assert same > 0.99


def test_work_and_memory_per_speech_token_do_not_grow() -> None:
    text = LONG[:150] * 2
    ends = [0, *range(1, len(text) + 1), len(text)]  # a text token per character
    attended, _ = Speech(outliers=0.1).attend(text, ends)
    aligner, times_s = follow(text, ends, []), []
    for part in range(0, len(attended) - 99, 100):
        started_s = time.thread_time()
        aligner.add_attended(attended[part : part + 100])
        times_s.append(time.thread_time() - started_s)
    assert len(aligner._path._origins) == attention_path.LAG
    assert len(times_s) >= 5
    assert times_s[-1] < 3 * min(times_s[:3]) + 0.01


# --- trust ----------------------------------------------------------------------------------------


def trust_of(aligner: WordAligner, attended: list[int]) -> list[bool]:
    """After each speech token."""
    trusted = []
    for token in attended:
        aligner.add_attended([token])
        trusted.append(aligner.trusted)
    return trusted


def test_without_attention_nothing_is_known() -> None:
    for aligner in (WordAligner(), follow(LONG, [], [1, 2]), follow(LONG, [3, 9], [])):
        assert (aligner.trusted, aligner.confidence) == (False, 0)
        assert aligner.text_reached() is None
        assert aligner.find_words(20) is aligner.find_words(20, len(LONG)) is None
        assert not any([aligner.is_tail, aligner.is_repeating])


@both
def test_attention_to_anything_is_not_trusted(pieces: str) -> None:
    ends = token_ends(LONG, pieces)
    trusted = []
    for seed in range(30):
        noise = np.random.default_rng(seed).integers(0, len(ends), 300).tolist()
        trusted.append(trust_of(follow(LONG, ends, []), noise))
    assert np.mean([each[12] for each in trusted]) <= 0.1, "13 tokens: the first sound"
    assert not any(each[-1] for each in trusted)


@both
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0], ids=["start", "middle", "stop"])
def test_attention_that_never_moves_is_not_trusted(pieces: str, share: float) -> None:
    ends = token_ends(LONG, pieces)
    trusted = trust_of(follow(LONG, ends, []), [round(share * (len(ends) - 1))] * 400)
    assert not any(trusted[60:])


@both
def test_attention_that_moves_backwards_is_not_trusted(pieces: str) -> None:
    ends = token_ends(LONG, pieces)
    attended, _ = Speech().attend(LONG, ends)
    assert not any(trust_of(follow(LONG, ends, []), attended[::-1])[60:])


@both
def test_trust_does_not_flip(pieces: str) -> None:
    """Whatever the share of outliers: noise in the confidence is less than its hysteresis."""
    ends, flips = token_ends(LONG, pieces), []
    for outliers in np.linspace(0, 1, 21):
        for seed in SEEDS:
            attended, _ = Speech(outliers=float(outliers), seed=seed).attend(LONG, ends)
            trusted = trust_of(follow(LONG, ends, []), attended)
            flips.append(sum(one != other for one, other in pairwise(trusted)))
    assert max(flips) <= 3
    assert np.mean(flips) < 1


@both
def test_trust_is_regained_after_a_long_repeat(pieces: str) -> None:
    ends = token_ends(LONG, pieces)
    size = len(ends)
    attended, _ = Speech(repeated=(2, size // 2)).attend(LONG, ends)
    trusted = trust_of(follow(LONG, ends, []), attended)
    assert not all(trusted)
    assert trusted[-1]


# --- progress -------------------------------------------------------------------------------------


@both
def test_text_reached_is_not_ahead_of_speech(pieces: str) -> None:
    ends, ahead, behind = token_ends(LONG, pieces), [], []
    for seed in SEEDS:
        attended, times = Speech(outliers=0.1, seed=seed).attend(LONG, ends)
        aligner = follow(LONG, ends, [])
        for n, token in enumerate(attended, 1):
            aligner.add_attended([token])
            reached = aligner.text_reached()
            assert reached is not None
            said = max([0, *(end for end, time_ in times.items() if time_ <= n)])
            begun = min([len(LONG), *(end for end, time_ in times.items() if time_ > n)])
            ahead.append(reached > begun)
            behind.append(said - reached)
    assert np.mean(ahead) < 0.005
    assert np.mean(np.array(behind) > 0) < 0.05


def test_text_token_is_not_reached_to_its_end_when_it_begins() -> None:
    text = "Extraordinary things."
    assert follow(text, [13, 20, 21], [0] * 5).text_reached() == 4, "20 characters a second"
    assert follow(text, [13, 20, 21], [0] * 15 + [1] * 5).text_reached() == 18
    assert follow(text, [13, 20, 21], [0] * 30).text_reached() == 14


@both
def test_text_may_grow_while_it_is_spoken(pieces: str) -> None:
    """Its last token may become another: part of a longer word."""
    whole = token_ends(SHORT, pieces)
    attended, times = Speech(outliers=0.05).attend(SHORT, whole)
    aligner, known, words = WordAligner(), 12, list[WordEnd]()
    aligner.extend_text(SHORT[:known], token_ends(SHORT[:known], pieces))
    for n, token in enumerate(attended, 1):
        aligner.add_attended([token])
        reached = aligner.text_reached()
        assert reached is not None
        if reached > known - 8 and known < len(SHORT):
            known = min(len(SHORT), known + 5)
            aligner.extend_text(SHORT[:known], token_ends(SHORT[:known], pieces))
        now = aligner.find_words(n) or []
        assert now[: len(words)] == words
        words = now
    words = aligner.find_words(len(attended), len(SHORT)) or []
    assert [word.end for word in words] == word_ends(SHORT)
    assert all(abs(word.token - times[word.end]) <= 3 for word in words[:-1])


# --- tails ----------------------------------------------------------------------------------------


@both
def test_speech_behind_the_text_is_noticed_within_a_second_and_a_half(pieces: str) -> None:
    for text in (SHORT, LONG, SHORT.rstrip(".")):
        ends = token_ends(text, pieces)
        for seed in SEEDS:
            spoken, times = Speech(seed=seed).attend(text, ends)
            aligner = follow(text, ends, spoken)
            assert aligner.extra_tokens == 0
            late = TAIL_TOKENS + 14 * (text[-1] != ".")
            aligner.add_attended([len(ends) - 1] * late)
            assert aligner.is_tail
            assert TAIL_TOKENS <= aligner.extra_tokens <= len(spoken) + late - max(times.values())


@both
def test_speech_that_starts_again_is_noticed_within_half_a_second(pieces: str) -> None:
    for text in (SHORT, LONG):
        ends = token_ends(text, pieces)
        for seed in SEEDS:
            spoken, _ = Speech(seed=seed).attend(text, ends)
            aligner = follow(text, ends, spoken)
            assert not aligner.is_repeating
            aligner.add_attended(spoken[:12])
            assert aligner.is_repeating
            assert aligner.extra_tokens > 0


@both
@pytest.mark.parametrize("outliers", [0, 0.1, 0.2])
def test_speech_of_the_text_is_no_tail(pieces: str, outliers: float) -> None:
    for text in TEXTS:
        ends = token_ends(text, pieces)
        for seed in SEEDS:
            aligner = follow(text, ends, [])
            for token in Speech(seed=seed, outliers=outliers, tail=5).attend(text, ends)[0]:
                aligner.add_attended([token])
                assert not any([aligner.is_tail, aligner.is_repeating])


def test_attention_to_the_stop_before_the_text_can_be_spoken_is_no_tail() -> None:
    """Too fast for speech: the rest of the text may come yet."""
    ends = token_ends(LONG, "words")
    spoken, _ = Speech(characters_per_s=30, pause_tokens=3).attend(LONG, ends)
    aligner = follow(LONG, ends, spoken)
    assert aligner.trusted
    early = len(LONG) - len(spoken)  # 1 / 25 s a character
    aligner.add_attended([len(ends) - 1] * early)
    assert early > TAIL_TOKENS
    assert not aligner.is_tail
