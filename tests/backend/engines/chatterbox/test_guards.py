"""What the engine does about a model that goes astray: each fault is forced by a scripted decoder.

The sound is scripted too, so that tokens can be told in it (`heard_tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.passage import FIRST_TOKENS
from backend.engines.chatterbox.text.speech_length import expected_tokens, min_tokens
from tests.backend.engines.chatterbox.test_engine import assert_tiles, begin, create_model, pcm, run
from tests.support.chatterbox.scripted_decoder import (
    SILENT,
    Script,
    ScriptedDecoder,
    endless,
    heard_tokens,
    loop,
    say,
    silences_s,
    use_script,
)

SENTENCE = "It was late, and the road went on, and nobody spoke at all for a long while."
SPEECH = range(100, 100 + expected_tokens(SENTENCE))
both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def create_engine(
    monkeypatch: pytest.MonkeyPatch, *scripts: Script, turbo: bool = False, **settings: Any
) -> tuple[ChatterboxEngine, ScriptedDecoder]:
    engine = create_model(turbo=turbo, **settings).create_engine()
    return engine, use_script(engine, monkeypatch, *scripts)


def speak(engine: ChatterboxEngine, text: str = SENTENCE, **fields: Any) -> list[Chunk]:
    """The chunks of a text; checks the engine's contract."""
    begin(engine, "a", text, **fields)
    chunks = run(engine, "a")["a"]
    assert_tiles(chunks, text)
    assert engine._parts.decoder.free_slots == 4
    return chunks


def seconds(chunks: Sequence[Chunk]) -> float:
    return len(pcm(list(chunks))) / 24_000


# --- early ends -----------------------------------------------------------------------------------


@both
def test_speech_does_not_end_before_its_text_can_be_over(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, decoder = create_engine(monkeypatch, say([100, 101]), turbo=turbo)
    begin(engine, "a", SENTENCE)
    run(engine, "a")
    (session,) = decoder.sessions
    assert len(session.tokens) >= session.min_tokens
    assert session.min_tokens == min_tokens(SENTENCE) > 0.6 * expected_tokens(SENTENCE)


def test_the_least_length_grows_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, decoder = create_engine(monkeypatch, endless, text_extension=True)
    engine.begin(Utterance("a", "default"))
    for end in (13, 36, len(SENTENCE)):
        engine.extend("a", Release(SENTENCE[:end], end, final=end == len(SENTENCE)))
        engine.step(["a"])
        assert decoder.sessions[0].min_tokens == min_tokens(SENTENCE[:end])


# --- tails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "longest_s"),
    [
        ("Hi.", "en", 1.5),  # 3.6 s before
        ("Well.", "en", 1.8),
        (SENTENCE, "en", 1.01 + 2 * 5.8),  # 18.9 s before
        ("\u4f60\u597d\u3002", "zh", 2.5),
        ("\u4eca\u5929\u5929\u6c14\u771f\u4e0d\u9519\u3002" * 4, "zh", 1.01 + 2 * 7.0),
        (
            "\u0645\u0631\u062d\u0628\u0627\u060c \u0643\u064a\u0641 \u062d\u0627\u0644\u0643",
            "ar",
            6,
        ),
    ],
)
def test_a_tail_that_never_ends_is_cut(
    text: str, language: str, longest_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = create_engine(monkeypatch, endless)
    chunks = speak(engine, text, language=language)
    assert expected_tokens(text, language) / 25 < seconds(chunks) < longest_s


def test_the_bound_follows_the_pace_of_the_passages_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clause = "And the road went on, and nobody spoke at all, "
    lengths = {}
    for name, pace in (("slow", 1.6), ("fast", 0.8)):
        first = say(range(100, 100 + round(pace * expected_tokens(clause))))
        engine, _ = create_engine(monkeypatch, first, endless)
        engine.begin(Utterance("a", "default"))
        engine.extend("a", Release(clause * 2, len(clause)))
        run(engine, "a")
        engine.extend("a", Release(clause * 2, 2 * len(clause), final=True))
        lengths[name] = seconds(run(engine, "a")["a"])
    expected_s = expected_tokens(clause) / 25
    assert lengths["fast"] < 1 + 2 * expected_s < lengths["slow"]
    assert lengths["slow"] < 1 + 2 * 1.6 * expected_s


def test_a_passage_that_was_cut_tells_nothing_of_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = create_engine(monkeypatch, endless)
    clause, lengths = "And the road went on, and nobody spoke at all, ", []
    engine.begin(Utterance("a", "default"))
    for n in range(1, 4):
        engine.extend("a", Release(clause * 3, n * len(clause), final=n == 3))
        lengths.append(seconds(run(engine, "a")["a"]))
    assert max(lengths) - min(lengths) < 0.1


# --- loops ----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("period", [2, 3, 7, 25, 40])
def test_a_loop_is_cut_and_its_repeats_are_not_spoken(
    period: int, turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, repeated = range(100, 130), range(500, 500 + period)
    engine, _ = create_engine(monkeypatch, loop(start, repeated), turbo=turbo)
    text = SENTENCE * 3  # the bound of its length is far away
    heard = heard_tokens(pcm(speak(engine, text)))
    assert heard[:30] == list(start)
    assert set(heard[30:]) <= {*repeated}
    assert len(heard) <= 30 + 2 * period, "at most what was rendered before it could be noticed"


def test_one_token_for_two_seconds_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = create_engine(monkeypatch, loop(range(100, 130), [500]))
    assert seconds(speak(engine, SENTENCE * 3)) < (30 + 50) / 25


@pytest.mark.parametrize(
    "repeated",
    [[500, 501] * 8, [500] * 45, [*range(500, 520)] * 3],
    ids=["vowel", "held", "thrice"],
)
def test_repetition_that_ends_is_spoken(
    repeated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    after = range(200, 200 + expected_tokens(SENTENCE * 2))
    engine, _ = create_engine(monkeypatch, say(range(100, 130), repeated, after))
    chunks = speak(engine, SENTENCE * 2)
    assert heard_tokens(pcm(chunks))[-20:] == list(after)[-21:-1]
    assert seconds(chunks) > (28 + len(repeated) + len(after)) / 25


# --- silence and noise ----------------------------------------------------------------------------


def silence(seconds: float) -> list[int]:
    return [SILENT] * round(25 * seconds)


@both
def test_the_first_chunk_is_audible(turbo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = create_engine(monkeypatch, say(silence(1.0), SPEECH), turbo=turbo)
    first, *_ = chunks = [chunk for chunk in speak(engine) if len(chunk.pcm)]
    assert np.abs(first.pcm[:240]).max() > 0.1
    assert heard_tokens(pcm(chunks)) == list(SPEECH)[:-1]


def test_silence_before_the_first_sound_does_not_lengthen_the_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, decoder = create_engine(monkeypatch, say(silence(1.0), SPEECH))
    begin(engine, "a", SENTENCE)
    for _ in range(100):
        if any(len(chunk.pcm) for chunk in engine.step(["a"]) if isinstance(chunk, Chunk)):
            break
    assert len(decoder.sessions[0].tokens) <= 25 + 2 * FIRST_TOKENS + 4


@both
def test_long_silences_are_shortened(turbo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    script = say(SPEECH[:40], silence(1.5), SPEECH[40:], silence(1.6), [7])
    engine, _ = create_engine(monkeypatch, script, turbo=turbo)
    sound = pcm(speak(engine))
    assert silences_s(sound) == [0.0, 0.3, 0.3]
    assert heard_tokens(sound) == list(SPEECH)


def test_short_pauses_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = create_engine(monkeypatch, say(SPEECH[:40], silence(0.28), SPEECH[40:]))
    assert silences_s(pcm(speak(engine))) == [0.0, 0.28, 0.0]


def test_silences_of_two_passages_are_shortened_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clause = "And the road went on, and nobody spoke at all, "
    script = say(silence(0.2), range(100, 190), silence(0.2), [7])
    engine, _ = create_engine(monkeypatch, script)
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(clause * 2, len(clause)))
    chunks = run(engine, "a")["a"]
    engine.extend("a", Release(clause * 2, 2 * len(clause), final=True))
    chunks += run(engine, "a")["a"]
    # The silence before the first sound is heard behind the last.
    assert silences_s(pcm(chunks)) == [0.0, 0.3, 0.2]
    assert [word.end_ms <= seconds(chunks) * 1000 for chunk in chunks for word in chunk.words]


def test_words_without_sound_are_told_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    script = say(SPEECH[:30], silence(1.9), SPEECH[30:])
    engine, _ = create_engine(monkeypatch, script)
    chunks = speak(engine)
    words = [word for chunk in chunks for word in chunk.words]
    assert [SENTENCE[word.start : word.end].strip() for word in words] == SENTENCE.split()
    assert all(chunk.start == chunk.end for chunk in chunks if not len(chunk.pcm))


@both
def test_gibberish_behind_a_lone_word_is_not_spoken(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = say(range(100, 110), silence(0.4), range(500, 540))
    engine, decoder = create_engine(monkeypatch, script, turbo=turbo)
    chunks = speak(engine, "Well,")
    assert heard_tokens(pcm(chunks)) == list(range(100, 110))
    assert len(decoder.sessions[0].tokens) < 10 + 40


def test_speech_behind_a_second_of_silence_is_not_spoken_once_the_text_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, _ = create_engine(monkeypatch, say(SPEECH, silence(1.1), range(500, 580)))
    sound = pcm(speak(engine))
    assert heard_tokens(sound) == list(SPEECH)
    assert silences_s(sound)[-1] == 0.3


@both
def test_the_noise_of_the_last_token_is_not_spoken(
    turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = create_engine(monkeypatch, say(SPEECH, [6000]), turbo=turbo)
    assert heard_tokens(pcm(speak(engine))) == list(SPEECH)


@both
@pytest.mark.parametrize("tokens", [[], [100], [SILENT] * 9], ids=["none", "one", "silent"])
def test_a_passage_without_sound_ends(
    tokens: list[int], turbo: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = create_engine(monkeypatch, say(tokens), turbo=turbo)
    begin(engine, "a", "I")
    for session in [engine._utterances["a"].passage]:
        assert session is not None
        session.session.min_tokens = 0
    chunks = run(engine, "a")["a"]
    assert (chunks[-1].end, engine._parts.decoder.free_slots) == (1, 4)
    assert not np.any(pcm(chunks))


def test_a_client_that_ran_dry_is_not_ahead_by_leading_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The session cuts silence that a client has heard already."""
    clause = "And the road went on, and nobody spoke at all, "
    engine, _ = create_engine(monkeypatch, say(range(100, 190)), say(silence(0.2), range(100, 190)))
    now_s = [0.0]
    engine._clock = lambda: now_s[0]
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(clause * 2, len(clause)))
    run(engine, "a")
    now_s[0] = 99.0
    engine.extend("a", Release(clause * 2, 2 * len(clause), final=True))
    while not (results := engine.step(["a"])) or not isinstance(results[0], Chunk):
        pass
    assert isinstance(results[0], Chunk)
    audible_s = len(results[0].pcm) / 24_000 - 0.2
    assert engine._utterances["a"]._dry_at_s == pytest.approx(99.0 + audible_s)
