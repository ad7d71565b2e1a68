"""A text of each language, typed a character at a time, is spoken like the whole text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.events import Audio, End, Start, Text, Voice
from tests.support.engines.fake_engine import FakeModel
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, run_script
from tests.support.texts_of_languages import TEXTS, TextOfLanguage

SPEEDS = (1.0, 5.5, 30.0, 150.0)  # characters per second


class MonolingualModel(FakeModel):
    """Its voice speaks one language."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self.info = replace(self.info, languages=(language,))
        self._language = language

    def voices(self) -> tuple[Voice, ...]:
        return (Voice("heart", self._language, "", True),)


def speak(text: TextOfLanguage, speed: float | None) -> ScriptedClient:
    """`speed`: that of typing; None: the text is sent at once."""

    async def play(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le", sample_rate=24_000))
        for piece in text.text if speed else [text.text]:
            client.send(Text("a", piece))
            await client.wait(1 / speed if speed else 0)
        client.send(End("a"))
        await client.wait_settled()

    return run_script(play, tts=InlineTTS(MonolingualModel(text.language)))


def sentences_of(client: ScriptedClient) -> list[str]:
    return [release.text for release in client.tts.releases if release.final]


@pytest.mark.parametrize("at", range(len(TEXTS)), ids=[text.language for text in TEXTS])
def test_a_typed_text_is_spoken_like_the_whole(at: int) -> None:
    text = TEXTS[at]
    whole = speak(text, None)
    assert len(sentences_of(whole)) == len(text.sentences)
    for speed in SPEEDS:
        typed = speak(text, speed)
        typed.assert_sums()
        assert typed.codes() == []
        assert typed.events_of(Audio)[-1].text[1] == len(text.text)
        assert sentences_of(typed) == sentences_of(whole), speed
        assert typed.heard_text() == whole.heard_text()
