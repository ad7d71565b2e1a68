from __future__ import annotations

import hashlib
import http.server
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hibari import Hibari
from hibari import voices as catalogue
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.config import Settings
from backend.engines.base import Chunk, Failure, Pcm, Release, Utterance
from backend.engines.hibari import engine as hibari
from backend.engines.hibari.engine import HibariModel
from backend.engines.loader import load_model
from backend.errors import BadMessage, DuplexError, UnknownVoice, Unsupported, VoiceUnavailable
from backend.text.reading.spoken_text import TIE
from tests.backend.engines.hibari.test_phonemes import PIECES
from tests.support.engines.hibari_model import (
    assert_tiles,
    begin_utterance,
    join,
    render,
    render_words,
    shared_model,
)
from tests.support.engines.rendering import render_release

RATE = 24_000
SENTENCES = (
    "The library opens at nine and closes at six, but on Saturdays it closes an hour earlier.",
    "He wanted only one thing - a quiet place to read - and he found it by the river.",
    "The company raised $3.2 billion in 2021 and lost about £400 million a year later.",
    "Nobody in the office knew who had ordered forty boxes of green paper clips.",
)


# --- compared with the whole sentence -------------------------------------------------------------


@pytest.mark.parametrize("words", [1, 3])
def test_streamed_words_last_as_long_as_the_whole_sentence(words: int) -> None:
    expected = [len(join(render(text))) for text in SENTENCES]
    heard = [len(join(render_words(text, words))) for text in SENTENCES]
    assert heard == pytest.approx(expected, rel=0.08)
    assert sum(heard) == pytest.approx(sum(expected), rel=0.03)


def test_a_whole_sentence_lasts_exactly_as_long_as_the_package_makes_it() -> None:
    package = Hibari()
    for text in SENTENCES:
        assert len(join(render(text))) == len(package(text))


def click_levels(audio: Pcm) -> Pcm:
    """How far the high frequencies of each 2.5 ms exceed those of both neighbours, in dB."""
    sharp = np.diff(audio, 2)
    blocks = sharp[: len(sharp) // 60 * 60].reshape(-1, 60)
    level = 10 * np.log10((blocks**2).mean(1) + 1e-7)
    out: Pcm = level[1:-1] - np.maximum(level[:-2], level[2:])
    return out


def test_seams_do_not_click_more_than_speech() -> None:
    for text in SENTENCES:
        loudest = click_levels(join(render(text))).max()
        chunks = render_words(text)
        heard = click_levels(join(chunks))
        for end in np.cumsum([len(chunk.pcm) for chunk in chunks])[:-1]:
            around = heard[(end - 300) // 60 : (end + 1800) // 60]  # the joint is 50 ms behind
            assert around.max() < loudest


def test_the_chunks_of_one_release_do_not_change_its_sound() -> None:
    for text in SENTENCES:
        at_once, in_chunks = render(text, chunk_characters=0), render(text, chunk_characters=10)
        assert len(in_chunks) > len(at_once)
        one, many = join(at_once), join(in_chunks)
        assert len(one) == len(many)
        # The remaining difference: quantised weights round differently in windows of other sizes.
        assert np.sqrt(np.mean((one - many) ** 2)) < 0.35 * np.sqrt(np.mean(one**2))


def test_the_same_seed_gives_the_same_samples() -> None:
    text = SENTENCES[0]
    assert np.array_equal(join(render_words(text, seed=5)), join(render_words(text, seed=5)))
    assert not np.array_equal(join(render(text, seed=5)), join(render(text, seed=6)))


def test_speed_shortens_speech() -> None:
    text = SENTENCES[0]
    normal, fast, slow = (len(join(render(text, speed=speed))) for speed in (1.0, 1.5, 0.75))
    assert fast < 0.8 * normal < normal < 0.85 * slow


# --- releases -------------------------------------------------------------------------------------


def test_only_the_released_words_are_spoken() -> None:
    engine = begin_utterance()
    (first,) = render_release(engine, Release("The library opens ", 4))
    assert (first.start, first.end) == (0, 4)
    assert 0.1 < len(first.pcm) / RATE < 0.8
    (second,) = render_release(engine, Release("The library opens at nine ", 12))
    assert (second.start, second.end) == (4, 12)
    assert [(word.start, word.end) for word in second.words] == [(4, 11)]


def test_tied_words_are_not_cut() -> None:
    tied = "three point two billion dollars".replace(" ", TIE)
    text = f"It costs {tied} now."
    engine = begin_utterance(chunk_characters=1)
    chunks = list(render_release(engine, Release(text, len(text), final=True)))
    assert [text[chunk.start : chunk.end] for chunk in chunks] == [
        "It ",
        "costs ",
        f"{tied} ",
        "now.",
    ]


def test_a_forced_release_is_spoken_to_its_end_and_decays() -> None:
    engine = begin_utterance()
    (chunk,) = render_release(engine, Release("Hello", 5, must_reach=True))
    assert chunk.end == 5
    assert np.abs(chunk.pcm[-600:]).max() < 0.02 < np.abs(chunk.pcm).max()  # it has died away
    (rest,) = render_release(engine, Release("Hello there.", 12, final=True))
    assert (rest.start, rest.end) == (5, 12)


def test_the_made_up_continuation_is_not_heard() -> None:
    (chunk,) = render_release(begin_utterance(), Release("Hello", 5, must_reach=True))
    alone = len(join(render("Hello,")))
    assert len(chunk.pcm) < alone


def test_a_word_that_grows_after_it_was_spoken_is_finished() -> None:
    engine = begin_utterance()
    assert list(render_release(engine, Release("It was sun", 10, must_reach=True)))[-1].end == 10
    chunks = list(render_release(engine, Release("It was sunshine.", 16, final=True)))
    assert (chunks[0].start, chunks[-1].end) == (10, 16)
    assert len(join(chunks)) > 0.2 * RATE


def test_a_newer_release_replaces_one_that_is_not_finished() -> None:
    engine = begin_utterance(chunk_characters=10)
    engine.extend("u", Release(SENTENCES[0], 60))
    (first,) = engine.step(["u"])
    assert isinstance(first, Chunk)
    assert not first.caught_up
    shorter = SENTENCES[0][: first.end] + "then stops."
    chunks = list(render_release(engine, Release(shorter, len(shorter), final=True)))
    assert_tiles([first, *chunks], shorter)


def test_a_long_release_comes_in_chunks_cut_at_words() -> None:
    chunks = render(SENTENCES[0], chunk_characters=20)
    assert len(chunks) > 2
    assert all(chunk.end - chunk.start >= 20 for chunk in chunks[:-1])
    assert all(SENTENCES[0][chunk.end - 1] == " " for chunk in chunks[:-1])


@pytest.mark.parametrize("text", ["", "   ", "...", "🙂🙂", "हिन्दी", "中文。", " - \n"])
def test_unspeakable_text_is_accounted_for_without_sound(text: str) -> None:
    chunks = render(text)
    assert_tiles(chunks, text)
    assert len(join(chunks)) == 0


def test_long_text_without_punctuation_is_spoken_in_bounded_chunks() -> None:
    text = "so they built their houses on the higher ground where no flood could reach them " * 25
    text = text[:2000].rstrip()
    chunks = render(text)
    assert_tiles(chunks, text)
    assert max(chunk.end - chunk.start for chunk in chunks) <= 150
    per_character = len(join(chunks)) / RATE / len(text)
    assert 0.04 < per_character < 0.08


texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(texts, st.data())
def test_any_releases_of_any_text_tile_it(text: str, data: st.DataObject) -> None:
    engine = begin_utterance(chunk_characters=data.draw(st.sampled_from([0, 1, 25])))
    ends = [m.end() for m in re.finditer(r"\S+\s*", text)] or [len(text)]
    chunks: list[Chunk] = []
    for known in data.draw(st.lists(st.sampled_from(ends), max_size=3).map(sorted)):
        spoken_to = chunks[-1].end if chunks else 0
        speak_to = max(spoken_to, data.draw(st.sampled_from([e for e in ends if e <= known])))
        must = data.draw(st.booleans())
        chunks += render_release(engine, Release(text[:known], speak_to, must_reach=must))
        assert chunks[-1].end == speak_to if must else chunks[-1].end <= speak_to
    chunks += render_release(engine, Release(text, len(text), final=True))
    assert_tiles(chunks, text)
    assert np.isfinite(join(chunks)).all()


def test_word_times_follow_each_other_inside_the_audio() -> None:
    for chunks in (render_words(SENTENCES[0]), render(SENTENCES[0])):
        position_ms = audio_ms = 0.0
        for chunk in chunks:
            audio_ms += 1000 * len(chunk.pcm) / RATE
            for word in chunk.words:
                assert chunk.start <= word.start < word.end <= chunk.end
                assert position_ms <= word.start_ms < word.end_ms <= audio_ms
                position_ms = word.end_ms
        assert len([word for chunk in chunks for word in chunk.words]) == 17


def test_word_times_are_where_the_sound_is() -> None:
    chunks = render(SENTENCES[0])
    audio = join(chunks)
    words = [word for chunk in chunks for word in chunk.words]
    assert SENTENCES[0][words[8].start : words[9].end] == "six, but"
    pause = audio[int(words[8].end_ms * 24) + 600 : int(words[9].start_ms * 24) - 600]
    assert len(pause) > 0.1 * RATE
    assert np.abs(pause).max() < 0.05 * np.abs(audio).max()


# --- the engine -----------------------------------------------------------------------------------


def test_the_most_urgent_utterance_with_text_is_rendered() -> None:
    engine = shared_model().create_engine()
    for name in ("idle", "first", "second"):
        engine.begin(Utterance(name, "heart"))
    for name in ("first", "second"):
        engine.extend(name, Release("Hello there.", 12, final=True))
    assert [chunk.utterance_id for chunk in engine.step(["idle", "second", "first"])] == ["second"]
    assert [chunk.utterance_id for chunk in engine.step(["second", "first"])] == ["first"]
    assert engine.step(["second", "first", "unknown"]) == []


def test_an_aborted_utterance_is_forgotten() -> None:
    engine = begin_utterance()
    engine.extend("u", Release("Hello there.", 12, final=True))
    engine.abort("u")
    engine.abort("never begun")
    assert engine.step(["u"]) == []


def test_a_render_error_fails_only_its_utterance(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = shared_model().create_engine()
    for name in ("good", "bad"):
        engine.begin(Utterance(name, "heart"))
        engine.extend(name, Release("Hello there.", 12, final=True))

    def broken() -> Chunk:
        raise RuntimeError("out of paper")

    monkeypatch.setattr(engine._states["bad"], "step", broken)
    (failure,) = engine.step(["bad", "good"])
    assert isinstance(failure, Failure)
    assert failure.error.code == "engine_failed"
    (chunk,) = engine.step(["bad", "good"])
    assert isinstance(chunk, Chunk)
    assert chunk.utterance_id == "good"


def test_engines_of_one_model_render_in_parallel() -> None:
    expected = join(render(SENTENCES[0]))
    heard: list[bool] = []

    def speak() -> None:
        heard.extend(np.array_equal(join(render(SENTENCES[0])), expected) for _ in range(3))

    threads = [threading.Thread(target=speak) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [True] * 9


# --- voices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("utterance", "error"),
    [
        (Utterance("u", "nobody"), UnknownVoice),
        (Utterance("u", "emma"), VoiceUnavailable),
        (Utterance("u", "heart", language="de"), Unsupported),
        (Utterance("u", "heart", speed=3), BadMessage),
    ],
)
def test_unsupported_utterances_are_refused_at_begin(
    utterance: Utterance, error: type[Exception]
) -> None:
    with pytest.raises(error):
        shared_model().create_engine().begin(utterance)


def test_any_english_language_tag_is_accepted() -> None:
    for language in ("en", "en-GB", "EN-us", None, ""):
        shared_model().create_engine().begin(Utterance("u", "heart", language=language))


@pytest.mark.slow
def test_the_default_voice_is_ready_and_others_are_listed(tmp_path: Path) -> None:
    voices = {voice.name: voice for voice in HibariModel(tmp_path).voices()}
    assert voices[HibariModel.default_voice].ready
    assert voices["emma"].language == "en-GB"
    assert not voices["emma"].ready


@pytest.mark.slow
def test_the_error_for_a_voice_that_cannot_be_fetched_lists_the_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "BASE_URL", "http://127.0.0.1:9/")
    with pytest.raises(VoiceUnavailable, match=r"'emma'.*available: heart"):
        HibariModel(tmp_path).load_voice("emma")
    with pytest.raises(UnknownVoice, match="nobody"):
        HibariModel(tmp_path).load_voice("nobody")


class _SilentFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def voice_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder, served at the URL from which the package fetches voices."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(_SilentFiles, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(catalogue, "BASE_URL", f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_voice_is_fetched_on_first_use(
    voice_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = (Path(catalogue.ASSETS) / "hibari.onnx").read_bytes()
    emma = {**catalogue.VOICES["emma"], "sha256": hashlib.sha256(weights).hexdigest()}
    monkeypatch.setitem(catalogue.VOICES, "emma", emma)
    (voice_server / emma["file"]).write_bytes(weights)
    fetching = HibariModel(tmp_path / "cache")
    fetching.load_voice("emma")
    assert next(voice for voice in fetching.voices() if voice.name == "emma").ready
    engine = fetching.create_engine()
    engine.begin(Utterance("u", "emma"))
    assert (
        sum(len(c.pcm) for c in render_release(engine, Release("Hello.", 6, final=True)))
        > 0.3 * RATE
    )


@pytest.mark.slow
def test_a_voice_with_a_wrong_checksum_is_refused(voice_server: Path, tmp_path: Path) -> None:
    (voice_server / catalogue.VOICES["emma"]["file"]).write_bytes(b"something else")
    broken = HibariModel(tmp_path / "cache")
    with pytest.raises(VoiceUnavailable, match="emma"):
        broken.load_voice("emma")
    assert not any(voice.ready for voice in broken.voices() if voice.name == "emma")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "garbage": lambda whole: b"<html>sign in</html>" * 100,
    "one bit": lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_voice_is_fetched_again(
    damage: str, voice_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = (Path(catalogue.ASSETS) / "hibari.onnx").read_bytes()
    emma = {**catalogue.VOICES["emma"], "sha256": hashlib.sha256(weights).hexdigest()}
    monkeypatch.setitem(catalogue.VOICES, "emma", emma)
    (voice_server / emma["file"]).write_bytes(weights)
    cached = tmp_path / "cache" / emma["file"]
    cached.parent.mkdir()
    cached.write_bytes(DAMAGES[damage](weights))
    HibariModel(tmp_path / "cache").load_voice("emma")
    assert cached.read_bytes() == weights


def test_the_error_for_a_damaged_voice_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "BASE_URL", "http://127.0.0.1:9/")
    (tmp_path / catalogue.VOICES["emma"]["file"]).write_bytes(b"half a voice")
    with pytest.raises(VoiceUnavailable, match=r"'emma' is damaged.*available: heart"):
        HibariModel(tmp_path).load_voice("emma")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["hibari.onnx", "vocab.json"])
def test_a_damaged_package_is_a_one_line_error_at_start(
    damage: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("hibari.onnx", "vocab.json"):
        shutil.copy(Path(catalogue.ASSETS) / file, tmp_path / file)
    damaged = tmp_path / name
    damaged.write_bytes(DAMAGES[damage](damaged.read_bytes()))
    monkeypatch.setattr(hibari, "_ASSETS", tmp_path)
    with pytest.raises(DuplexError, match="pip install --force-reinstall") as stopped:
        load_model(Settings.model_validate({"engine": {"name": "hibari"}}), tmp_path)
    assert "\n" not in stopped.value.message


@pytest.mark.parametrize("word", ["Use ", "Read ", "Live ", "He got "])
def test_a_word_waits_for_the_next_word_that_decides_its_reading(word: str) -> None:
    alone = list(render_release(begin_utterance(), Release(word, len(word), pause=True)))
    assert alone[-1].end < len(word)
    known = list(render_release(begin_utterance(), Release(f"{word}the ", len(word), pause=True)))
    assert known[-1].end == len(word)
    must = list(render_release(begin_utterance(), Release(word, len(word), must_reach=True)))
    assert must[-1].end == len(word)
