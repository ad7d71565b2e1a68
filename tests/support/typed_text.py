"""A text of a language, typed to a session whose voice speaks only that."""

from __future__ import annotations

from dataclasses import replace

from backend.events import End, Start, Text, Voice
from tests.support.engines.fake_engine import FakeModel
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, run_script
from tests.support.texts_of_languages import TextOfLanguage


class MonolingualModel(FakeModel):
    """Its voice speaks one language."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self.info = replace(self.info, languages=(language,))
        self._language = language

    def voices(self) -> tuple[Voice, ...]:
        return (Voice("heart", self._language, "", True),)


def type_text(text: TextOfLanguage, speed: float | None) -> ScriptedClient:
    """`speed`: characters per second; None: the text is sent at once."""

    async def play(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le", sample_rate=24_000))
        for piece in text.text if speed else [text.text]:
            client.send(Text("a", piece))
            await client.wait(1 / speed if speed else 0)
        client.send(End("a"))
        await client.wait_settled()

    return run_script(play, tts=InlineTTS(MonolingualModel(text.language)))
