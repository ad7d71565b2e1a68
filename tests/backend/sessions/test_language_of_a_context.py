"""Each sentence of a context with `auto` is spoken in the language that its first words tell."""

from __future__ import annotations

import pytest
from structlog.testing import CapturingLogger

from backend.events import Audio, End, Flush, Retract, Start, Text
from backend.sessions import reading_setup
from tests.support.engines.inline_tts import InlineTTS
from tests.support.engines.multilingual_model import MultilingualModel
from tests.support.scripted_session import ScriptedClient, run_script

pytest.importorskip("py3langid")

SPOKEN = [
    "Ich habe gestern mit ihr telefoniert. ",
    "Где он живёт? ",
    "Ok. ",
    "Yes, I know where it is. ",
]


def speak(*steps: str | float | Flush | Retract, language: str | None = "auto") -> ScriptedClient:
    """Types the strings a character at a time and waits the numbers of seconds."""

    async def play(client: ScriptedClient) -> None:
        client.send(Start("a", language=language, format="pcm_f32le", sample_rate=24_000))
        for step in steps:
            if isinstance(step, str):
                for character in step:
                    client.send(Text("a", character))
                    await client.wait(0.02)
            elif isinstance(step, float):
                await client.wait(step)
            else:
                client.send(step)
        client.send(End("a"))
        await client.wait_settled()

    return run_script(play, tts=InlineTTS(MultilingualModel()))


def spoken_languages(client: ScriptedClient) -> list[str | None]:
    return [utterance.language for utterance in client.tts.utterances]


def test_each_sentence_is_spoken_in_its_language() -> None:
    client = speak(*SPOKEN)
    assert spoken_languages(client) == ["de", "ru", "ru", "en"]  # "Ok." does not tell
    client.assert_sums()
    assert client.events_of(Audio)[-1].text[1] == len("".join(SPOKEN))


def test_a_text_that_does_not_tell_is_spoken_in_the_language_of_the_voice() -> None:
    assert spoken_languages(speak("Ok.")) == ["en"]


def test_a_flush_before_the_language_is_known_speaks_that_of_the_voice() -> None:
    client = speak("Ok ", Flush("a"), 0.5, "das ist mein Haus, und dort wohne ich.")
    assert spoken_languages(client) == ["en"]  # and does not change within the sentence
    client.assert_sums()


def test_a_pause_before_the_language_is_known_speaks_that_of_the_voice() -> None:
    client = speak("Ok ", 5.0, "das ist mein Haus.")
    assert spoken_languages(client) == ["en"]
    client.assert_sums()


def test_a_retracted_beginning_does_not_decide() -> None:
    client = speak("Где", Retract("a", 0), "Ich habe gestern mit ihr telefoniert.")
    assert spoken_languages(client) == ["de"]
    client.assert_sums()


def test_a_context_that_names_a_language_speaks_it_whatever_the_text() -> None:
    assert spoken_languages(speak(*SPOKEN, language="de")) == ["de"] * 3
    assert spoken_languages(speak(*SPOKEN, language=None)) == [None] * 4


def test_words_of_other_languages_and_scripts_are_accounted_for() -> None:
    text = "Das heißt 你好, שלום und ไทย auf 日本語 – «да»."
    client = speak(text, language="de")
    client.assert_sums()
    assert client.codes() == []
    assert client.events_of(Audio)[-1].text[1] == len(text)
    assert client.heard_text() == "".join(text.split())


def test_a_missing_detector_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_setup, "load_detector", lambda: None)
    logged = CapturingLogger()
    monkeypatch.setattr(reading_setup, "log", logged)
    speak("Ja.", language="de")
    assert logged.calls == []
    speak("Ja.")
    assert [call.args for call in logged.calls] == [("language.detector_missing",)]


def test_a_language_that_the_voice_does_not_speak_is_an_error_that_names_those_it_does() -> None:
    async def play(client: ScriptedClient) -> None:
        client.send(
            Start("a", language="ja"), Start("b", language="ru"), Text("b", "Да."), End("b")
        )
        await client.wait_settled()

    client = run_script(play, tts=InlineTTS(MultilingualModel()))
    assert client.codes() == ["unsupported"]
    assert "en, de, ru" in client.log[0][1].message  # type: ignore[union-attr]
