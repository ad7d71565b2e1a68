"""Every character is accounted for exactly once, whatever is sent and whenever: checked through the
real session, segmenter, pacer, text buffer and audio sender."""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.config import Settings
from backend.events import Audio, Command, Done, End, Flush, Retract, Retracted, Start, Text
from tests.support.engines.fake_engine import FakeModel, decode_pcm
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import ScriptedClient, run_script

WORDS = st.sampled_from(
    ["a", "Hello", "world", "I", "am", "Dr", "e.g", "p.m", "U.S", "12", "$3", "2.5", "x@y.org"]
)
MARKS = st.sampled_from(
    [". ", "! ", "? ", ", ", " ", " ", " ", ".", "...", "\n", "\n\n", "\t", "  "]
)
OTHERS = st.sampled_from(["你好", "。", "نعم؟", "नमस्ते।", "é", "ß", "\u00a0", "'", '"', "”"])
SYMBOLS = st.sampled_from(["🙂", "👍🏽", "👨‍👩‍👧", "→", "\x00", "e\u0301", "\u200b", "✅"])
MARKUP = st.sampled_from(
    ["*", "**", "_", "# ", "- ", "`", "```", "[a](b)", "~~", "|", "> ", "\n- "]
)

plain_texts = st.lists(st.one_of(WORDS, MARKS, WORDS, MARKS, OTHERS), max_size=40).map("".join)
any_texts = st.one_of(
    st.lists(st.one_of(WORDS, MARKS, OTHERS, SYMBOLS, MARKUP), max_size=40).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text(" \n\t", max_size=20),
)
pauses_s = st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.05, 0.15, 0.7, 3.0])


@dataclass(frozen=True)
class Step:
    command: Command
    pause_s: float


@st.composite
def dialogues(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> list[Step]:
    """A text split at random, with pauses, flushes and retractions, and an end."""
    text = draw(texts)
    split_points = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    if draw(st.booleans()):
        split_points = list(range(1, len(text)))  # a character at a time
    steps = []
    for low, high in zip([0, *split_points], [*split_points, len(text)], strict=True):
        steps.append(Step(Text("a", text[low:high]), draw(pauses_s)))
        match draw(st.integers(0, 9)):
            case 0:
                steps.append(Step(Flush("a"), draw(pauses_s)))
            case 1:
                back_to = max(0, high - draw(st.integers(0, 12)))
                steps.append(Step(Retract("a", back_to), draw(pauses_s)))
    steps.append(Step(End("a"), draw(pauses_s)))
    if draw(st.integers(0, 4)) == 0:
        steps.append(Step(Retract("a", draw(st.integers(0, len(text)))), 0.0))
    return steps


@st.composite
def setups(draw: st.DrawFn) -> tuple[Settings, float, float, Start]:
    config = Settings.model_validate(
        {
            "bidirectional_streaming": {
                "enabled": draw(st.sampled_from([True, True, True, False])),
                "immediate_send": draw(st.booleans()),
                "queue_size": draw(st.sampled_from([1, 2, 100])),
            },
            "latency_optimization": {
                "chunk_size": draw(st.sampled_from([1, 5, 25])),
                "preemptive_generation": draw(st.sampled_from([True, True, True, False])),
                "lookahead_start": draw(st.integers(0, 2)),
            },
        }
    )
    start = Start("a", format="pcm_f32le", mode=draw(st.sampled_from(["live", "live", "batch"])))
    engine_delay_s = draw(st.sampled_from([0.0, 0.0, 0.02, 0.3]))
    read_pause_s = draw(st.sampled_from([0.0, 0.0, 0.05, 1.0]))
    return config, engine_delay_s, read_pause_s, start


def run_dialogue(
    steps: list[Step], setup: tuple[Settings, float, float, Start], incremental: bool = True
) -> ScriptedClient:
    config, engine_delay_s, read_pause_s, start = setup

    async def script(client: ScriptedClient) -> None:
        client.read_pause_s = read_pause_s
        client.send(start)
        for step in steps:
            client.send(step.command)
            await client.wait(step.pause_s)
        await client.wait_settled()

    tts = InlineTTS(FakeModel(incremental=incremental), delay_s=engine_delay_s)
    return run_script(script, config, tts)


def expected_text(steps: list[Step], retracted: list[Retracted]) -> str:
    """The context's text, as the client knows it."""
    text, answers = "", iter(retracted)
    for step in steps:
        match step.command:
            case Text(text=more):
                text += more
            case Retract(to=to):
                answer = next(answers, None)
                if answer is not None:
                    assert min(to, len(text)) <= answer.to <= len(text)
                    text = text[: answer.to]
    return text


default_setup = (Settings(), 0.0, 0.0, Start("a", format="pcm_f32le"))


@pytest.mark.slow
@given(dialogues(plain_texts), setups(), st.booleans())
@example(
    [Step(Text("a", "at 5 p.m. Sh"), 3.0), Step(Text("a", "e came. "), 0), Step(End("a"), 0)],
    default_setup,
    True,
)
@settings(max_examples=400, deadline=None)
def test_every_character_is_heard_exactly_once(
    steps: list[Step],
    setup: tuple[Settings, float, float, Start],
    incremental: bool,
) -> None:
    client = run_dialogue(steps, setup, incremental)
    assert client.codes() in ([], ["context_ended"])  # the latter for a late retraction
    text = expected_text(steps, client.events_of(Retracted))
    client.assert_sums()
    assert client.single_event(Done).characters == len(text)
    for audio in client.events_of(Audio):
        assert audio.text[1] <= len(text)
    assert client.heard_text() == "".join(text.split())


def _known_forms(span: str) -> str:
    """The characters as which those of `span` may be heard, in order: composed, in their plain
    form, or in the name of an entity's character.
    """
    return unescape(span) + "".join(normalize(form, span) for form in ("NFC", "NFKC"))


@pytest.mark.slow
@given(dialogues(any_texts), setups())
@settings(max_examples=400, deadline=None)
def test_unspoken_characters_are_accounted_for(
    steps: list[Step], setup: tuple[Settings, float, float, Start]
) -> None:
    client = run_dialogue(steps, setup)
    assert client.codes() in ([], ["context_ended"])
    text = expected_text(steps, client.events_of(Retracted))
    client.assert_sums()
    assert client.single_event(Done).characters == len(text)
    for audio in client.events_of(Audio):
        span = iter(_known_forms(text[slice(*audio.text)]))
        spoken = decode_pcm(np.frombuffer(audio.data, "<f4"))
        assert all(character in span for character in spoken), "heard a character outside the span"
