"""A text that is typed has the phonemes of the whole text, in each language of espeak-ng."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from backend.engines.base import Release
from backend.engines.incremental.plan import make_plan
from backend.engines.piper.espeak import load_espeak
from backend.engines.piper.phonemes import MOST_PHONEMES, PhonemeReader, drop_half_word
from backend.engines.piper.voice_config import _parse
from tests.support.piper.stand_in_voice import StandIn, describe_voice
from tests.support.texts_of_languages import TEXTS, TextOfLanguage
from tests.support.typed_text import type_text

pytest.importorskip("espeakng_loader")

SPEEDS = (5.5, 30.0)  # characters per second
ESPEAK = {"en": "en-us", "no": "nb", "zh": "cmn"}
WITHOUT_ESPEAK = {"bo", "km", "lo"}
# What is not said as in the whole text: the text behind it, not yet written, would tell.
KNOWN = {
    # Stressed at the end of what is known.
    "fr": {"le", "pour"},
    "hu": {"forintot"},
    # A pause behind an abbreviation, and the sound before the next word.
    "cs": {"např."},
    "da": {"kr."},
    "nl": {"d.w.z."},
    "pl": {"np."},
    "ru": {"руб."},
    "sv": {"t.ex."},
    "uk": {"грн.", "див."},
    # Kana are words for the server, which does not know where Japanese words end.
    "ja": {"いました。", "いた。", "はい!", "キロです。", "また"},
    # Its vowels are read with the next syllable.
    "my": {"တယ်၊"},
}

Word = tuple[str, str]  # and its phonemes


def create_reader(language: str) -> PhonemeReader:
    voice = StandIn(language, ESPEAK.get(language, language))
    return PhonemeReader(_parse(describe_voice(voice)), load_espeak())


def spoken_words(releases: Iterable[Release], reader: PhonemeReader) -> list[list[Word]]:
    """What Piper's engine speaks for the releases, by sentence."""
    sentences: list[list[Word]] = [[]]
    spoken_to = 0
    for release in releases:
        if not (release.final or (release.must_reach and release.speak_to == len(release.text))):
            release = replace(release, text=drop_half_word(release.text, release.speak_to))
        has_more = True
        while has_more:
            plan = make_plan(release, spoken_to, reader, MOST_PHONEMES)
            sentences[-1] += [(release.text[u.start : u.end], u.phonemes) for u in plan.units]
            spoken_to, has_more = plan.reach, plan.has_more
        if release.final:
            sentences.append([])
            spoken_to = 0
    return sentences


def join_phonemes(words: list[Word]) -> str:
    return "".join(phonemes.replace(" ", "") for _, phonemes in words)


@pytest.mark.parametrize(
    "text",
    [text for text in TEXTS if text.language not in WITHOUT_ESPEAK],
    ids=lambda text: text.language,
)
@pytest.mark.parametrize("speed", SPEEDS)
def test_a_typed_text_has_the_phonemes_of_the_whole(text: TextOfLanguage, speed: float) -> None:
    reader = create_reader(text.language)
    whole = spoken_words(type_text(text, None).tts.releases, reader)
    typed = spoken_words(type_text(text, speed).tts.releases, reader)
    assert join_phonemes(whole[0])
    differing = {
        word
        for expected, spoken in zip(whole, typed, strict=True)
        if join_phonemes(expected) != join_phonemes(spoken)
        for word, _ in set(expected) - set(spoken)
    }
    assert differing <= KNOWN.get(text.language, set())
