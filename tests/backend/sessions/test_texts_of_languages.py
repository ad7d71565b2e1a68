"""A text of each language, typed a character at a time, is spoken like the whole text."""

from __future__ import annotations

import pytest

from backend.events import Audio
from tests.support.scripted_session import ScriptedClient
from tests.support.texts_of_languages import TEXTS
from tests.support.typed_text import type_text

SPEEDS = (1.0, 5.5, 30.0, 150.0)  # characters per second


def sentences_of(client: ScriptedClient) -> list[str]:
    return [release.text for release in client.tts.releases if release.final]


@pytest.mark.parametrize("at", range(len(TEXTS)), ids=[text.language for text in TEXTS])
def test_a_typed_text_is_spoken_like_the_whole(at: int) -> None:
    text = TEXTS[at]
    whole = type_text(text, None)
    assert len(sentences_of(whole)) == len(text.sentences)
    for speed in SPEEDS:
        typed = type_text(text, speed)
        typed.assert_sums()
        assert typed.codes() == []
        assert typed.events_of(Audio)[-1].text[1] == len(text.text)
        assert sentences_of(typed) == sentences_of(whole), speed
        assert typed.heard_text() == whole.heard_text()
