"""No message blocks the event loop, whatever its content: CPU time of one callback."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.endpoints.mistral import has_mistral_fields
from backend.endpoints.together import has_together_fields
from backend.errors import DuplexError
from backend.events import Done, End, Flush, Flushed, Retract, Text
from backend.protocols import openai
from backend.protocols.cartesia import request as cartesia_request
from backend.protocols.elevenlabs import http as elevenlabs_http
from backend.protocols.json_fields import LenientModel, read_json
from backend.protocols.mistral.http import MistralSpeechRequest
from backend.protocols.native import (
    MAX_AFTER,
    MAX_MESSAGE_LENGTH,
    decode_message,
    decode_speech_request,
)
from backend.protocols.together.request import TogetherSpeechRequest
from backend.text.pacer import Speak
from backend.text.text_buffer import TextBuffer
from tests.support import clock
from tests.support.loop_turns import time_callbacks
from tests.support.scripted_session import connect_client

pytestmark = pytest.mark.slow

LIMIT_S = 0.020  # the goal is 10 ms; busy machines are slower
SIZE = 20_000
UNITS = (
    *("The quick brown fox. ", "__a ", "*a ", "a.b ", "*", "[](", "[a](b) ", "# ", "\n", "a\n"),
    *("Dr. ", '"Dr. "', "1.2.3.", "a!B", "x.Y", "A. B. ", "x” ", "a...B", "a@b.c/", "a", ".", "。"),
    *(
        "👨‍👩‍👧",
        "🙂 ",
        "a\u0301\u0301\u0301",
        "\u0301",
        "今天天气很好",
        "a。",
        "ภาษาไทย",
        "क्या है। ",
        " ",
        "\u200b",
    ),
    *("。?)@", "]:-'”́**。", "(“:“?", "'](”:”e.g.~", "~»。`", "-a!", "```\n", "_", "~"),
)
BRACKETS = "[" + "[]," * (MAX_MESSAGE_LENGTH // 4) + "1]"
NUMBERS = "[" + "1," * (MAX_MESSAGE_LENGTH // 3) + "1]"
SHORT_BRACKETS = "[" + "[]," * 5_400 + "1]"
MESSAGES = {
    "brackets": f'{{"type":"ping","x":{SHORT_BRACKETS}}}',
    "brackets as text": f'{{"type":"text","text":{SHORT_BRACKETS}}}',
    "long brackets": f'{{"type":"text","text":"a","x":{BRACKETS}}}',
    "long brackets as text": f'{{"type":"text","text":{BRACKETS}}}',
    "long numbers as text": f'{{"type":"text","text":{NUMBERS}}}',
    "long numbers as type": f'{{"type":{NUMBERS},"text":"a"}}',
    "a megabyte of brackets": '{"type":"ping","x":[' + "[]," * 330_000 + "1]}",
    "a megabyte of text": json.dumps({"type": "text", "text": "é " * 170_000}),
    "a megabyte of contexts": json.dumps(
        {"type": "ping", "after": dict.fromkeys(range(60_000), 1)}
    ),
    "contexts": json.dumps({"type": "ping", "after": {f"c{n}": n for n in range(1200)}}),
    "wrong contexts": json.dumps(
        {"type": "ping", "after": {f"c{n}": "x" for n in range(MAX_AFTER)}}
    ),
    "numbers": '{"type":"ping","x":[' + ",".join(["1" * 4000] * 4) + "]}",
    "a huge number": '{"type":"ping","id":' + "1" * 16_000 + "}",
    "nested": '{"a":' * 3_000,
    "keys": "{" + ",".join(f'"k{n}":1' for n in range(1400)) + "}",
    "a long type": json.dumps({"type": "x" * 16_000}),
    "a long id": json.dumps({"type": "ping", "id": "x" * 16_000}),
    "a long voice": json.dumps({"type": "start", "voice": "x" * 16_000}),
}


@pytest.fixture(autouse=True)
def _disable_garbage_collection() -> Iterator[None]:
    """A collection's time would count for the measured code."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def cpu_s(act: Callable[[], object]) -> float:
    began_s = time.thread_time()
    with suppress(DuplexError):
        act()
    return time.thread_time() - began_s


def best_of_3(act: Callable[[], object]) -> float:
    return min(cpu_s(act) for _ in range(3))


def long(unit: str, size: int = SIZE) -> str:
    return (unit * (size // len(unit) + 1))[:size]


def turns(unit: str) -> Iterator[float]:
    """The CPU time of each uninterrupted step while a long text is received and spoken."""
    made = TextBuffer(SIZE)
    yield cpu_s(lambda: made.push_text(long(unit, 9000), 0.0))
    yield cpu_s(made.flush_text)
    yield cpu_s(lambda: made.retract_to(8999, 0.0))
    yield cpu_s(made.end_text)
    while not made.is_finished:
        while made.is_behind:
            yield cpu_s(made.read_slice)
        yield cpu_s(made.pending_sentence)
        if not made.is_finished:
            size = len((growth := made.pending_sentence()).text)
            made.mark_released(growth, Speak(size, size, final=True))
            made.mark_spoken(size)
            yield cpu_s(made.close_utterance)


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_blocks_the_loop(unit: str) -> None:
    rounds = zip(*(list(turns(unit)) for _ in range(3)), strict=True)
    assert max(map(min, rounds)) < LIMIT_S


@pytest.mark.parametrize("kind", MESSAGES)
def test_no_message_blocks_the_loop(kind: str) -> None:
    assert best_of_3(lambda: decode_message(MESSAGES[kind])) < LIMIT_S


@pytest.mark.parametrize("field", ["x", "text", "voice"])
@pytest.mark.parametrize("value", [BRACKETS, NUMBERS])
def test_no_http_body_blocks_the_loop(field: str, value: str) -> None:
    body = f'{{"text": "a", "{field}": {value}}}'.encode()
    assert best_of_3(lambda: decode_speech_request(body)) < LIMIT_S


@pytest.mark.parametrize("unit", ["*a ", "a!B", "[a](b) "])
def test_typing_and_erasing_a_sentence_does_not_block_the_loop(unit: str) -> None:
    made, worst_s = TextBuffer(SIZE), 0.0
    for key in long(unit, 2000):
        made.push_text(key, 0.0)
        while made.is_behind:
            made.read_slice()
    for to in range(made.length - 1, made.length - 20, -1):
        worst_s = max(worst_s, best_of_3(lambda to=to: made.retract_to(to, 0.0)))  # type: ignore[misc]
        while made.is_behind:
            worst_s = max(worst_s, cpu_s(made.read_slice))
        worst_s = max(worst_s, best_of_3(made.pending_sentence))
    assert worst_s < LIMIT_S


def test_contexts_with_unread_text_share_the_loop() -> None:
    async def play() -> float:
        async with connect_client() as client:
            with time_callbacks() as longest_s:
                for number in range(4):
                    client.send(Text(str(number), long("*a ")), Flush(str(number)))
                    await asyncio.sleep(0)
                for _ in range(150):
                    await asyncio.sleep(0)
            return longest_s()

    assert min(clock.run(play()) for _ in range(3)) < LIMIT_S


# --- vendors --------------------------------------------------------------------------------------

VENDORS: dict[str, Callable[[str], object]] = {
    "elevenlabs": lambda body: read_json(elevenlabs_http.ElevenLabsSpeechRequest, body),
    "cartesia": lambda body: read_json(cartesia_request.CartesiaSpeechRequest, body),
    "openai": lambda body: openai.decode_request(body.encode()),
    "mistral": lambda body: read_json(MistralSpeechRequest, body),
    "together": lambda body: read_json(TogetherSpeechRequest, body),
    "shared path": lambda body: (
        has_mistral_fields(body.encode()) or has_together_fields(body.encode())
    ),
    "any": lambda body: read_json(LenientModel, body),
}
BODIES = {
    "brackets": f'{{"x":{BRACKETS}}}',
    "numbers": f'{{"x":{NUMBERS}}}',
    "keys": json.dumps({f"k{n}": n for n in range(20_000)}),
    "a megabyte": '{"x":[' + "[]," * 330_000 + "1]}",
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("vendor", VENDORS)
def test_no_vendor_request_body_blocks_the_loop(vendor: str, body: str) -> None:
    def read() -> None:
        with suppress(DuplexError):
            VENDORS[vendor](BODIES[body])

    assert best_of_3(read) < LIMIT_S


def test_3000_flushes_are_all_answered() -> None:
    async def play() -> int:
        async with connect_client() as client:
            client.send(Text("a", "Hello there. "))
            for _ in range(3000):
                client.send(Flush("a"))
            client.send(End("a"))
            await client.wait_settled()
            return len(client.events_of(Flushed))

    assert clock.run(play()) == 3000


# --- text that is read late -----------------------------------------------------------------------

FRAGMENTS = (
    *(
        "Dr. ",
        "It works.But ",
        "She came. ",
        "5 p.m. ",
        "好。",
        "\n",
        "... ",
        "x.org ",
        "U.S. The ",
    ),
    *("a! ", "word " * 30, "*a ", "“Yes.” ", "🙂 ", "and so on", "(a.) "),
)
steps = st.lists(st.sampled_from(FRAGMENTS) | st.sampled_from(["flush", "read"]), max_size=25)


def sentences(pieces: list[str], *, eager: bool) -> list[str]:
    made, found = TextBuffer(1_000_000), list[str]()
    for piece in pieces:
        if piece == "flush":
            made.flush_text()
        elif piece == "read":
            made.read_slice()
        else:
            made.push_text(piece, 0.0)
        while eager and made.is_behind:
            made.read_slice()
    made.end_text()
    while True:
        while made.is_behind:
            made.read_slice()
        if made.is_finished:
            return found
        growth = made.pending_sentence()
        found.append(growth.text)
        made.mark_released(growth, Speak(len(growth.text), len(growth.text), final=True))
        made.mark_spoken(len(growth.text))
        made.close_utterance()


@settings(derandomize=True, deadline=None, max_examples=300)
@given(steps)
def test_sentences_do_not_depend_on_when_text_is_read(pieces: list[str]) -> None:
    assert sentences(pieces, eager=False) == sentences(pieces, eager=True)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join), st.integers(1, 90))
def test_sentences_do_not_depend_on_how_text_is_split(text: str, size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert sentences(pieces, eager=False) == sentences([text], eager=False)


def test_a_flush_of_unread_text_is_kept() -> None:
    made = TextBuffer(SIZE)
    made.push_text("word " * 100 + "It works.", 0.0)
    made.flush_text()
    made.push_text(" but", 0.0)
    assert made.is_behind
    while made.is_behind:
        made.read_slice()
    assert made.pending_sentence().text == "word " * 100 + "It works."
    assert made.pending_sentence().complete


def test_utterances_stay_bounded_when_sentence_ends_are_found_late() -> None:
    made, longest = TextBuffer(SIZE), 0
    for _ in range(9000):
        made.push_text("a ", 0.0)
        made.flush_text()
        while made.is_behind:
            made.read_slice()
        growth = made.pending_sentence()
        longest = max(longest, len(growth.text))
        made.mark_released(growth, Speak(len(growth.text), len(growth.text), final=growth.complete))
        made.mark_spoken(len(growth.text))
        if growth.complete:
            made.close_utterance()
    assert made.spoken == 18_000
    assert longest < 5000


def test_a_long_text_with_a_retraction_is_spoken_to_its_end() -> None:
    async def play() -> int:
        async with connect_client() as client:
            client.send(Text("a", long("word ")), Retract("a", 15_000), End("a"))
            await client.wait_settled()
            return client.single_event(Done).characters

    assert clock.run(play()) == 15_000
