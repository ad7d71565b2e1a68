from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.config import Settings
from backend.engines.base import Chunk, Pcm, Release, Utterance
from backend.engines.loader import load_model
from backend.engines.piper import voices
from backend.engines.piper.engine import PiperModel, _rules
from backend.engines.piper.phonemes import drop_half_word
from backend.engines.piper.voice_config import _parse
from backend.errors import BadMessage, ConfigError, UnknownVoice, Unsupported, VoiceUnavailable
from tests.support.engines.hibari_model import assert_tiles
from tests.support.engines.rendering import render_release
from tests.support.hostile_texts import HOSTILE
from tests.support.piper.piper_model import (
    JOE,
    RATE_HZ,
    WholeGraph,
    begin,
    joe_model,
    joe_path,
    join,
    render,
    render_words,
)
from tests.support.piper.stand_in_voice import CHANNELS, StandIn, describe_voice, write_voice
from tests.support.same_sound import assert_same_sound

SENTENCES = (
    "Hello there.",
    "The library opens at nine and closes at six, but on Saturdays it closes an hour earlier.",
    "Nobody in the office knew who had ordered forty boxes of green paper clips!",
)


@cache
def whole_graph() -> WholeGraph:
    return WholeGraph(joe_path())


def speak_with_graph(text: str, scales: tuple[float, float, float], seed: int) -> Pcm:
    """What the voice's own graph makes of the text, with the pads and ends that Piper adds."""
    return whole_graph().speak(list_ids(joe_model(), text, JOE), scales, seed)


def list_ids(model: PiperModel, text: str, voice: str) -> list[int]:
    ids = model._find(voice)[0].config.ids
    said = " ".join(p for _, p in model.read_phonemes(Release(text, len(text)), voice))
    pad, begin_, end = (ids[mark][0] for mark in "_^$")
    return [begin_, pad, *(i for sound in said for i in (*ids[sound], pad)), end]


PIECES = ("the", "one,", "of", "25", "—", "x.", "Ärger", "天气", "(a)", "🎉")


# --- compared with the voice's own graph ----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize(
    ("speed", "noise_scale", "noise_w", "seed"),
    [(1.0, 0.667, 0.8, 0), (1.3, 0.667, 0.8, 7), (0.7, 0.0, 0.0, 0), (1.0, 1.0, 1.2, 3)],
)
def test_a_whole_text_is_what_the_voices_own_graph_makes_of_it(
    text: str, speed: float, noise_scale: float, noise_w: float, seed: int
) -> None:
    noises = {"noise_scale": noise_scale, "noise_w": noise_w}
    sound = join(render(joe_model(), text, speed=speed, seed=seed, parameters=noises))
    assert_same_sound(sound, speak_with_graph(text, (noise_scale, 1 / speed, noise_w), seed))


@pytest.mark.parametrize("stochastic", [True, False])
@pytest.mark.parametrize("speaker", [0, 1])
def test_so_it_is_with_speakers_that_condition_every_network(
    tmp_path: Path, speaker: int, *, stochastic: bool
) -> None:
    path = write_voice(tmp_path, "many", StandIn(speakers=2, stochastic=stochastic))
    model, voice = PiperModel(tmp_path), f"many#s{speaker}"
    ids = list_ids(model, SENTENCES[1], voice)
    expected = WholeGraph(path, CHANNELS).speak(ids, (0.667, 1.0, 0.8), 4, speaker)
    assert_same_sound(join(render(model, SENTENCES[1], voice, seed=4)), expected)


def test_the_voices_own_settings_are_the_default() -> None:
    text = SENTENCES[0]
    same = render(joe_model(), text, parameters={"noise_scale": 0.667, "noise_w": 0.8})
    assert np.array_equal(join(render(joe_model(), text)), join(same))


@pytest.mark.parametrize("characters", [0, 1, 10, 200])
def test_the_chunks_of_one_release_do_not_change_its_sound(characters: int) -> None:
    text = SENTENCES[1]
    expected = join(render(joe_model(), text))
    assert_same_sound(join(render(joe_model(), text, chunk_characters=characters)), expected)


@pytest.mark.slow
def test_streamed_words_last_about_as_long_as_the_whole() -> None:
    expected = sum(len(join(render(joe_model(), text))) for text in SENTENCES[1:])
    heard = sum(len(join(render_words(joe_model(), text, 3))) for text in SENTENCES[1:])
    assert heard == pytest.approx(expected, rel=0.08)


@pytest.mark.slow
def test_seams_do_not_click_more_than_speech() -> None:
    text = SENTENCES[1]
    loudest = np.abs(np.diff(join(render(joe_model(), text)), 2)).max()
    assert np.abs(np.diff(join(render_words(joe_model(), text, 2)), 2)).max() < 1.2 * loudest


@pytest.mark.slow
def test_the_same_seed_gives_the_same_samples() -> None:
    first, same, other = (
        join(render_words(joe_model(), SENTENCES[1], 3, seed=n)) for n in (5, 5, 6)
    )
    assert np.array_equal(first, same)
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.slow
def test_speed_shortens_speech() -> None:
    normal, fast, slow = (
        len(join(render(joe_model(), SENTENCES[1], speed=speed))) for speed in (1.0, 1.5, 0.75)
    )
    assert fast < 0.8 * normal < normal < 0.85 * slow


# --- releases -------------------------------------------------------------------------------------


def test_only_the_released_words_are_spoken() -> None:
    engine = begin(joe_model())
    first = list(render_release(engine, Release("The library opens ", 4)))
    assert (first[0].start, first[-1].end) == (0, 4)
    assert 0.05 < len(join(first)) / RATE_HZ < 0.8
    second = list(render_release(engine, Release("The library opens at nine ", 12)))
    assert (second[0].start, second[-1].end) == (4, 12)
    assert [(w.start, w.end) for chunk in second for w in chunk.words] == [(4, 11)]


@pytest.mark.parametrize("words", [1, 2, 3])
def test_spans_tile_the_text_and_words_follow_in_time(words: int) -> None:
    text = SENTENCES[1]
    chunks = render_words(joe_model(), text, words)
    assert_tiles(chunks, text)
    heard = [word for chunk in chunks for word in chunk.words]
    assert [text[w.start : w.end] for w in heard] == text.split()
    times = [time for word in heard for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert times[-1] <= 1000 * len(join(chunks)) / RATE_HZ + 1


def test_words_are_heard_when_their_times_say() -> None:
    text = "Stop. Then, after a while, go."
    chunks = render(joe_model(), text)
    sound = np.abs(join(chunks))
    words = [word for chunk in chunks for word in chunk.words]
    for word in words:
        span = slice(*(round(ms * RATE_HZ / 1000) for ms in (word.start_ms, word.end_ms)))
        assert sound[span].max() > 0.03, text[word.start : word.end]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(StandIn(), "ðə ðə ðə"), (StandIn("de_DE", "de"), ""), (StandIn(espeak=""), "")],
    ids=["English", "German", "letters"],
)
def test_unfinished_text_goes_on_with_sounds_of_its_language_only(
    kind: StandIn, expected: str
) -> None:
    assert _rules(_parse(describe_voice(kind)), 11.6).continuation == expected


def test_a_half_typed_word_is_no_lookahead() -> None:
    assert drop_half_word("the old ho", 4) == "the old "
    assert drop_half_word("the old ", 4) == "the old "
    assert drop_half_word("hel", 3) == "hel"
    assert drop_half_word("天气很", 1) == "天气很"
    halves = [
        join(list(render_release(begin(joe_model()), Release(f"the old {half}", 4))))
        for half in ("", "h", "horse")
    ]
    assert all(np.array_equal(halves[0], half) for half in halves)


@pytest.mark.parametrize("text", ["", "   ", "🎉", "...", "- —", "\u200b", "()"])
def test_text_without_sound_is_accounted_for(text: str) -> None:
    chunks = render(joe_model(), text)
    assert chunks[-1].end == len(text)
    assert chunks[-1].caught_up


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1),
    st.data(),
)
def test_any_order_of_releases_tiles_the_text(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    engine = begin(_stand_in(), "small")
    chunks: list[Chunk] = []
    ends = sorted(
        data.draw(st.sets(st.sampled_from([m.end() for m in re.finditer(r"\S+\s*", text)])))
    )
    for end in ends:
        must = data.draw(st.booleans())
        chunks += render_release(engine, Release(text, end, must_reach=must))
        assert not must or chunks[-1].end == end
    chunks += render_release(engine, Release(text, len(text), final=True))
    assert_tiles(chunks, text)


@cache
def _stand_in() -> PiperModel:
    folder = Path(tempfile.mkdtemp())
    write_voice(folder, "small")
    return PiperModel(folder)


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_spoken_in_bounded_steps(text: str) -> None:
    text = text[:1500]
    chunks = render(_stand_in(), text, "small")
    assert_tiles(chunks, text)
    assert all(len(chunk.pcm) < 1.3 * RATE_HZ for chunk in chunks)


def test_a_pronunciation_is_said_instead() -> None:
    text = "Say tomato now."
    plain = Release(text, len(text), final=True)
    given_ = replace(plain, pronunciations={4: "ˈaɪ"})
    short, long = (
        len(join(list(render_release(begin(joe_model()), release)))) for release in (given_, plain)
    )
    assert short < long


# --- a graph that cannot be cut -------------------------------------------------------------------


@pytest.fixture
def uncut(tmp_path: Path) -> PiperModel:
    write_voice(tmp_path, "odd", StandIn(speakers=2, is_cuttable=False))
    return PiperModel(tmp_path)


def test_a_graph_that_cannot_be_cut_speaks_whole_sentences(uncut: PiperModel) -> None:
    engine = begin(uncut, "odd")
    text = SENTENCES[1]
    waiting = list(render_release(engine, Release(text, 40)))
    assert (len(join(waiting)), waiting[-1].end) == (0, 0)
    chunks = list(render_release(engine, Release(text, len(text), final=True)))
    assert_tiles(chunks, text)
    words = [word for chunk in chunks for word in chunk.words]
    assert [text[w.start : w.end] for w in words] == text.split()
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(1000 * len(join(chunks)) / RATE_HZ)
    assert not engine.step(["u"])


def test_it_speaks_what_must_be_spoken_and_goes_on(uncut: PiperModel) -> None:
    engine = begin(uncut, "odd#s1")
    first = list(render_release(engine, Release("The library opens ", 12, must_reach=True)))
    assert first[-1].end == 12
    assert len(join(first)) > 0
    text = "The library opens at nine."
    assert_tiles([*first, *render_release(engine, Release(text, len(text), final=True))], text)


def test_its_steps_are_bounded(uncut: PiperModel) -> None:
    text = "nobody knew who had ordered " * 30
    chunks = render(uncut, text, "odd")
    assert_tiles(chunks, text)
    assert max(len(chunk.pcm) for chunk in chunks) < 15 * RATE_HZ


def test_it_is_warned_of_once(uncut: PiperModel, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[dict[str, str]] = []
    monkeypatch.setattr(voices.log, "warning", lambda event, **given: warned.append(given))
    for _ in range(2):
        render(uncut, SENTENCES[0], "odd")
    (warning,) = warned
    assert "Softmax" in warning["why"]


# --- voices and parameters ------------------------------------------------------------------------


def test_speakers_are_voices_with_sounds_of_their_own(tmp_path: Path) -> None:
    write_voice(tmp_path, "many", StandIn(speakers=2))
    model = PiperModel(tmp_path)
    assert [voice.name for voice in model.voices()] == ["many", "many#s0", "many#s1"]
    plain, first, second = (
        join(render(model, "Hello there.", name)) for name in ("many", "many#s0", "many#s1")
    )
    assert np.array_equal(plain, first)
    assert not np.array_equal(first, second)
    with pytest.raises(UnknownVoice, match="s0, s1"):
        model.load_voice("many#s7")


def test_a_voice_of_another_rate_is_resampled(tmp_path: Path) -> None:
    write_voice(tmp_path, "low", StandIn(sample_rate_hz=16_000, seed=1))
    write_voice(tmp_path, "medium", StandIn(seed=1))
    model = PiperModel(tmp_path)
    assert model.info.sample_rate_hz == 22_050
    low, medium = (len(join(render(model, SENTENCES[1], name))) for name in ("low", "medium"))
    assert low == pytest.approx(medium * 22_050 / 16_000, rel=0.001)


@pytest.mark.parametrize("stochastic", [True, False])
def test_both_kinds_of_durations_are_streamed(tmp_path: Path, *, stochastic: bool) -> None:
    write_voice(tmp_path, "small", StandIn(stochastic=stochastic))
    model = PiperModel(tmp_path)
    assert_tiles(render_words(model, SENTENCES[1], 2, "small"), SENTENCES[1])


def test_what_a_voice_cannot_do_is_said(tmp_path: Path) -> None:
    write_voice(tmp_path, "deutsch", StandIn("de_DE", "de"))
    write_voice(tmp_path, "english")
    engine = PiperModel(tmp_path).create_engine()
    with pytest.raises(Unsupported, match=r"speaks de-DE, not 'en-GB'; voices for it: english"):
        engine.begin(Utterance("u", "deutsch", language="en-GB"))
    with pytest.raises(UnknownVoice, match="available: deutsch, english"):
        engine.begin(Utterance("u", "nobody"))
    with pytest.raises(BadMessage, match="noise_w"):
        engine.begin(Utterance("u", "english", parameters={"noise_w": 9.0}))
    engine.begin(Utterance("u", "deutsch", language="de"))


def test_a_graph_of_another_kind_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write_voice(tmp_path, "broken")
    path.write_bytes(b"not a graph")
    with pytest.raises(VoiceUnavailable, match=r"could not be loaded.*fetch it again"):
        PiperModel(tmp_path).load_voice("broken")


def test_the_settings_choose_the_engine(tmp_path: Path) -> None:
    chosen = Settings.model_validate({"engine": {"name": "piper"}})
    with pytest.raises(ConfigError, match="duplex-tts voices get"):
        load_model(chosen, tmp_path)
    write_voice(tmp_path / "piper", "small")
    assert load_model(chosen, tmp_path).default_voice == "small"
