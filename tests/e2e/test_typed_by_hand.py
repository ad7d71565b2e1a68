"""Text typed by hand, at any speed and with pauses anywhere."""

from __future__ import annotations

import random

import pytest

from backend.events import Audio, End, Retract, Start, Text
from bench.harness.corpus import load_corpus
from tests.support.scripted_session import ScriptedClient, run_script

TEXTS = [entry.text for entry in load_corpus() if entry.speakable]
SPEEDS = (1.0, 2.5, 5.5, 9.0)


async def type_text(client: ScriptedClient, text: str, speed: float, seed: int) -> None:
    """Type with human timing and occasional long pauses, also within words."""
    rng = random.Random(seed)
    for key in text:
        client.send(Text("a", key))
        await client.wait(rng.lognormvariate(0, 0.5) / speed)
        if rng.random() < 0.04:
            await client.wait(rng.uniform(1, 30))


@pytest.mark.parametrize("speed", SPEEDS)
def test_half_a_word_is_never_spoken(speed: float) -> None:
    for seed, text in enumerate(TEXTS):

        async def script(client: ScriptedClient, text: str = text, seed: int = seed) -> None:
            client.send(Start("a", format="pcm_f32le"))
            await type_text(client, text, speed, seed)
            client.send(End("a"))
            await client.wait_settled()

        client = run_script(script)
        client.assert_sums()
        for audio in client.events_of(Audio):
            end = audio.text[1]
            inside = text[end - 1 : end].isalnum() and text[end : end + 1].isalnum()
            assert not inside, f"{text[:end]}|{text[end:]}"


def test_a_word_corrected_while_typing_is_spoken_once_in_its_final_form() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le"))
        await type_text(client, "I saw the yelow", 5.5, 1)
        client.send(Retract("a", 13))
        await type_text(client, "low bus at the station.", 5.5, 2)
        client.send(End("a"))
        await client.wait_settled()

    assert run_script(script).heard_text() == "Isawtheyellowbusatthestation."


def test_words_from_a_prediction_bar_are_spoken_in_phrases() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le"))
        for word in ("Please ", "bring ", "the ", "blue ", "bowl ", "to ", "the ", "kitchen "):
            client.send(Text("a", word))
            await client.wait(0.7)

    spoken = [audio.text for audio in run_script(script).events_of(Audio)]
    text = "Please bring the blue bowl to the kitchen "
    assert [text[start:end] for start, end in spoken][:2] == ["Please ", "bring the blue bowl "]


def test_llm_tokens_are_spoken_in_words() -> None:
    async def script(client: ScriptedClient) -> None:
        client.send(Start("a", format="pcm_f32le"))
        for token in ("The", " keys", " are", " on", " the", " table"):
            client.send(Text("a", token))
            await client.wait(1 / 30)

    (first, *_) = run_script(script).events_of(Audio)
    assert first.text == (0, 9)
    assert run_script(script).heard_text().startswith("Thekeysareonthe")
