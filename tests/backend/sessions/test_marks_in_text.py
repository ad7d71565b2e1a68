"""Marks in the text do what they say: pauses, speed, volume, substitutes."""

from __future__ import annotations

import pytest

from backend.events import Audio, Done, End, Start, Text
from tests.support.scripted_session import ScriptedClient, run_script

CHARACTER_MS = 10  # of the fake engine


def speak(text: str, **start: object) -> ScriptedClient:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le", mode="batch", **start))  # type: ignore[arg-type]
        for character in text:
            client.send(Text("a", character))
        client.send(End("a"))
        await client.wait_settled()

    client = run_script(script)
    client.assert_sums()
    return client


def duration_ms(client: ScriptedClient) -> float:
    return client.single_event(Done).audio_ms


def test_a_pause_is_silence_where_it_stands() -> None:
    client = speak("one [pause 500ms] two")
    assert client.heard_text() == "onetwo"
    assert duration_ms(client) == 500 + 6 * CHARACTER_MS
    words = [word for audio in client.events_of(Audio) for word in audio.words]
    assert [(word.start, word.start_ms) for word in words] == [(0, 0), (18, 530)]


def test_pauses_at_both_ends_and_in_a_row_add_up() -> None:
    client = speak("[pause 100ms][pause 200ms]one[pause 300ms]")
    assert client.heard_text() == "one"
    assert duration_ms(client) == 600 + 3 * CHARACTER_MS


def test_a_text_of_a_pause_alone_is_silence() -> None:
    assert duration_ms(speak("[pause 1s]")) == 1000


@pytest.mark.parametrize("ssml", [True, None])
def test_ssml_is_carried_out_where_it_is_asked_for(ssml: bool | None) -> None:
    client = speak('one <break time="200ms"/>two', ssml=ssml)
    assert client.heard_text() == "onetwo"
    assert duration_ms(client) == (200 if ssml else 0) + 6 * CHARACTER_MS


def test_a_substitute_is_said_instead() -> None:
    client = speak('one <sub alias="second">two</sub> three', ssml=True)
    assert client.heard_text() == "onesecondthree"


def test_a_change_of_speed_holds_from_there_on() -> None:
    client = speak('one <prosody rate="50%">two</prosody> three', ssml=True, speed=1.0)
    assert [utterance.speed for utterance in client.tts.utterances] == [1.0, 0.5, 1.0]


def test_a_sound_that_the_engine_cannot_make_is_silent() -> None:
    assert speak("one [laugh] two").heard_text() == "onetwo"


def test_a_tag_split_over_messages_is_not_spoken() -> None:
    assert speak("one <b class='x'>two</b> &amp; three").heard_text() == "onetwo&three"


def test_reasoning_is_not_spoken() -> None:
    assert speak("<think>one. two.</think>three").heard_text() == "three"


def test_the_lexicon_of_a_context_is_used() -> None:
    assert speak("I met Nguyen.", lexicon={"Nguyen": "win"}).heard_text() == "Imetwin."
