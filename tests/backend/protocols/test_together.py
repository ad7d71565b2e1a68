"""Together's protocol, alone and against the core."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BadFormat, BadMessage, DuplexError
from backend.events import (
    Cancel,
    Command,
    Done,
    End,
    Failed,
    Flush,
    Flushed,
    Ping,
    Pong,
    Ready,
    Start,
    Text,
    Voice,
)
from backend.protocols.json_fields import read_json, read_query
from backend.protocols.together.events import TogetherEvents
from backend.protocols.together.request import SpeechParams, StreamQuery, TogetherSpeechRequest
from backend.protocols.together.websocket import TogetherProtocol
from backend.protocols.voice_names import find_voice
from tests.support.engines.fake_engine import CHARACTER_SAMPLES
from tests.support.together_messages import (
    CLEAR,
    COMMIT,
    DELTA,
    DONE,
    FAILED,
    RECEIVED,
    WORDS,
    append,
    update,
)
from tests.support.vendor_dialogue import audio_event, decode_speech, encode_parsed, run_dialogue

VOICES = (
    Voice("heart", "en-US", "", ready=True, gender="female"),
    Voice("emma", "en-GB", "", ready=True, gender="female"),
)
FLOATS = {"response_format": "raw", "response_encoding": "pcm_f32le"}


def find_test_voice(name: str) -> str:
    return find_voice(name, VOICES, "heart")


def create_protocol(**query: str) -> TogetherProtocol:
    return TogetherProtocol(read_query(StreamQuery, FLOATS | query), find_test_voice)


def decode(protocol: TogetherProtocol, message: dict[str, Any]) -> list[Command]:
    """The commands; replies are left out."""
    commands = protocol.decode(json.dumps(message))
    return [command for command in commands if not isinstance(command, Ping)]


def started(protocol: TogetherProtocol, text: str, **fields: str) -> Start:
    """The context that opens for a text."""
    start = next(c for c in decode(protocol, append(text, **fields)) if isinstance(c, Start))
    assert isinstance(start, Start)
    return start


def heard(replies: list[dict[str, Any]], context: str | None = None) -> str:
    """What a context of the client hears, with a bar for each end of an item."""
    parts, data = [], list[str]()
    for reply in replies:
        if reply.get("context_id") != context:
            continue
        if reply["type"] == DELTA:
            data.append(reply["delta"])
        elif reply["type"] == DONE:
            parts.append(decode_speech(data) if data else "")
            data = []
    return "|".join([*parts, decode_speech(data) if data else ""])


def kinds(replies: list[dict[str, Any]]) -> list[str]:
    return [reply["type"] for reply in replies]


# --- parameters -----------------------------------------------------------------------------------


def build_start(**fields: Any) -> Start:
    return read_json(SpeechParams, json.dumps(fields)).build_start(find_test_voice)


def test_without_parameters_samples_of_the_default_voice_are_sent() -> None:
    assert build_start() == Start("", format="pcm_s16le", mode="stream")


def test_query_of_pipecat_is_parsed() -> None:
    query = {
        "model": "hexgrad/Kokoro-82M",
        "voice": "bf_emma(2)+af_heart(1)",
        "language": "en",
        "max_partial_length": "80",
    }
    start = read_query(StreamQuery, query).build_start(find_test_voice)
    assert start == Start("", "emma", "pcm_s16le", language="en", mode="stream")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": "pcm"}, "pcm_s16le"),
        ({"response_format": "raw", "response_encoding": "pcm_f32le"}, "pcm_f32le"),
        ({"response_format": "raw", "response_encoding": "pcm_mulaw"}, "mulaw"),
        ({"response_format": "pcm", "response_encoding": "pcm_alaw"}, "alaw"),
        ({"response_format": "wav", "response_encoding": "pcm_mulaw"}, "wav"),
        ({"response_format": "mulaw"}, "mulaw"),
        ({"response_format": "mp3", "bit_rate": 96000}, "mp3"),
        ({"response_format": "opus"}, "opus"),
    ],
)
def test_formats(fields: dict[str, Any], expected: str) -> None:
    assert build_start(**fields).format == expected


def test_pronunciations_are_the_contexts_lexicon() -> None:
    rules = {"pronunciation_dict": ["omg/oh my god", "Nguyen//wɪn/"]}
    lexicon = {"omg": "oh my god", "Nguyen": "/wɪn/"}
    assert build_start(extra_params=rules).lexicon == lexicon
    query = read_query(StreamQuery, {"extra_params": json.dumps(rules)})
    assert query.build_start(find_test_voice).lexicon == lexicon


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"response_format": "cassette"}, BadMessage),
        ({"response_format": "wav", "bit_rate": 64000}, BadFormat),
        ({"sample_rate": "fast"}, BadMessage),
        ({"speed": "nan"}, BadMessage),
        ({"alignment": "letter"}, BadMessage),
        ({"extra_params": {"pronunciation_dict": ["omg"]}}, BadMessage),
        ({"extra_params": 5}, BadMessage),
        ({"voice": ["heart"]}, BadMessage),
    ],
)
def test_invalid_parameters_are_refused(fields: dict[str, Any], error: type[DuplexError]) -> None:
    with pytest.raises(error):
        build_start(**fields)


def test_a_file_is_wav_and_a_stream_raw_by_default() -> None:
    def parse(**fields: object) -> str | None:
        request = read_json(TogetherSpeechRequest, json.dumps({"input": "Hi", **fields}))
        return request.build_start(find_test_voice).format

    assert parse() == "wav"
    assert parse(stream=True) == "pcm_s16le"
    assert parse(stream=True, response_format="mp3") == "mp3"


# --- client messages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"sound", "binary_message"),
        ("Hello", "bad_json"),
        ("[]", "bad_message"),
        ("{}", "bad_message"),
        ('{"type": "input_text_buffer.append"}', "bad_message"),
        ('{"type": "input_text_buffer.append", "text": {}}', "bad_message"),
        ('{"type": "input_text_buffer.append", "text": "\\ud83d"}', "bad_json"),
        ('{"type": "input_text.append", "text": "Hi"}', "unknown_type"),
        ('{"type": "tts_session.updated"}', "bad_message"),
        ('{"type": "tts_session.updated", "session": {"alignment": 1}}', "bad_message"),
        ('{"type": "input_text_buffer.commit", "context_id": 5}', "bad_message"),
        (json.dumps(COMMIT | {"context_id": "x" * 200}), "bad_message"),
    ],
)
def test_invalid_message_fails_and_changes_nothing(message: str | bytes, code: str) -> None:
    protocol = create_protocol()
    with pytest.raises(DuplexError) as error:
        protocol.decode(message)
    assert error.value.code == code
    (reply,) = encode_parsed(protocol, Failed(None, code, error.value.message))
    assert (reply["type"], reply["error"]["code"]) == (FAILED, code)
    assert set(reply["error"]) == {"message", "type", "param", "code"}
    assert decode(protocol, append("Hello"))[1:] == [Text("1", "Hello")]


def test_text_is_acknowledged() -> None:
    ping = create_protocol().decode(json.dumps(append("Grüße", context_id="c")))[0]
    assert isinstance(ping, Ping)
    (reply,) = encode_parsed(create_protocol(), Pong(ping.id))
    assert reply == {"type": RECEIVED, "text": "Grüße", "context_id": "c"}


def test_commit_without_text_is_ignored() -> None:
    protocol = create_protocol()
    assert decode(protocol, COMMIT) == []
    decode(protocol, append("Hello"))
    assert decode(protocol, COMMIT) == [Text("1", "\n"), Flush("1", ends_stream=True)]
    assert decode(protocol, COMMIT) == []


def test_update_for_all_and_for_one_context() -> None:
    protocol = create_protocol(voice="heart")
    assert started(protocol, "One.", context_id="a").voice == "heart"
    assert started(protocol, "One.", context_id="b").voice == "heart"
    assert decode(protocol, update("a", voice="emma")) == [End("1")]
    after = started(protocol, "Two.", context_id="a")
    assert (after.voice, after.follows) == ("emma", "1")
    assert decode(protocol, append("Two.", context_id="b")) == [Text("2", "Two.")]
    assert decode(protocol, update(speed=1.5)) == [End("3"), End("2")]
    assert started(protocol, "Three.", context_id="a").speed == 1.5
    other = started(protocol, "One.", context_id="c")
    assert (other.voice, other.speed) == ("heart", 1.5)


def test_a_refused_update_changes_nothing() -> None:
    protocol = create_protocol()
    wrong = update(speed=2, extra_params={"pronunciation_dict": ["x"]})
    with pytest.raises(BadMessage):
        protocol.decode(json.dumps(wrong))
    assert started(protocol, "Hi").speed is None


def test_an_update_that_one_context_refuses_changes_none() -> None:
    protocol = create_protocol(response_format="mp3")
    started(protocol, "One.", context_id="a")
    decode(protocol, update("b", response_format="wav"))
    with pytest.raises(BadFormat):
        protocol.decode(json.dumps(update(bit_rate=64000)))
    ends = [Text("1", "\n"), Flush("1", ends_stream=True)]
    assert decode(protocol, COMMIT | {"context_id": "a"}) == ends
    assert started(protocol, "One.", context_id="c").bit_rate is None


def test_an_update_of_one_context_needs_to_fit_only_that() -> None:
    protocol = create_protocol(response_format="wav")
    decode(protocol, update("a", response_format="mp3"))
    decode(protocol, update("a", bit_rate=64000))
    assert started(protocol, "One.", context_id="a").bit_rate == 64000


def test_update_is_answered() -> None:
    protocol = create_protocol()
    protocol.encode(Ready("session", "token", "heart", 24000, "pcm_s16le"))
    (ping,) = protocol.decode(json.dumps(update(voice="af_sky")))
    assert isinstance(ping, Ping)
    (reply,) = encode_parsed(protocol, Pong(ping.id))
    assert (reply["type"], reply["session"]["voice"]) == ("session.updated", "af_sky")


def test_contexts_that_have_nothing_to_say_end_when_another_opens() -> None:
    protocol = create_protocol()
    for number in range(300):
        id_, name = str(number + 1), f"turn-{number}"
        commands = decode(protocol, append("Hi", context_id=name))
        assert [c for c in commands if isinstance(c, End)] == [End(str(number))][: number > 0]
        decode(protocol, COMMIT | {"context_id": name})
        protocol.encode(audio_event(id_, (0, 3)))
        protocol.encode(Flushed(id_, 3))
        protocol.encode(Done(str(number), 1, 1, 1))
    assert len(protocol._table.streams) == 100


def test_a_context_that_is_written_or_spoken_does_not_end() -> None:
    protocol = create_protocol()
    decode(protocol, append("One", context_id="written"))
    protocol.encode(audio_event("1", (0, 3)))
    decode(protocol, append("Two", context_id="spoken"))
    decode(protocol, COMMIT | {"context_id": "spoken"})
    commands = decode(protocol, append("Three", context_id="third"))
    assert not any(isinstance(command, End) for command in commands)


def test_cancel_stops_all_of_a_context_and_is_answered() -> None:
    protocol = create_protocol()
    cancel = {"type": "context.cancel", "context_id": "a"}
    decode(protocol, append("One.", context_id="a"))
    decode(protocol, update("a", voice="emma"))
    decode(protocol, append("Two.", context_id="a"))
    *cancelled, ping = protocol.decode(json.dumps(cancel))
    assert cancelled == [Cancel("1"), Cancel("2")]
    assert isinstance(ping, Ping)
    (reply,) = encode_parsed(protocol, Pong(ping.id))
    assert reply == {"type": "context.cancelled", "context_id": "a"}
    for late in (audio_event("1", (0, 4)), Flushed("2", 4), Failed("2", "timeout", "x")):
        assert encode_parsed(protocol, late) == []
    assert started(protocol, "Three.", context_id="a").follows is None
    assert decode(protocol, {"type": "context.cancel", "context_id": "unknown"}) == []


# --- server messages ------------------------------------------------------------------------------


def test_session_created_is_first() -> None:
    protocol = create_protocol(model="canopylabs/orpheus-3b-0.1-ft", voice="tara")
    (created,) = encode_parsed(protocol, Ready("id", "token", "heart", 24000, "pcm_s16le"))
    assert created.pop("event_id")
    assert created == {
        "type": "session.created",
        "session": {
            "id": "id",
            "object": "realtime.tts.session",
            "modalities": ["text", "audio"],
            "model": "canopylabs/orpheus-3b-0.1-ft",
            "voice": "tara",
        },
    }


@pytest.mark.parametrize("code", ["timeout", "engine_failed"])
def test_after_a_lost_sentence_the_context_goes_on(code: str) -> None:
    protocol = create_protocol()
    decode(protocol, append("One.", context_id="c"))
    (reply,) = encode_parsed(protocol, Failed("1", code, "lost"))
    assert (reply["type"], reply["context_id"], reply["error"]["code"]) == (FAILED, "c", code)
    assert decode(protocol, append("Two.", context_id="c")) == [Text("1", "Two.")]


def test_after_a_lost_context_the_next_text_opens_another() -> None:
    protocol = create_protocol()
    decode(protocol, append("One."))
    assert kinds(encode_parsed(protocol, Failed("1", "voice_unavailable", "x"))) == [FAILED]
    assert encode_parsed(protocol, Failed("1", "context_ended", "x")) == []
    assert started(protocol, "Two.").follows is None


def test_streamed_errors_are_events() -> None:
    sent = TogetherEvents("Hi", with_words=False).encode(Failed("a", "timeout", "late"))
    assert json.loads(sent.removeprefix(b"data: "))["error"]["code"] == "timeout"


# --- dialogues ------------------------------------------------------------------------------------


def test_dialogue_of_the_documentation() -> None:
    """Chunks half a second apart, one commit."""
    replies = run_dialogue(
        create_protocol(), append("Hello, this is a test."), 0.5,
        append("This is the second sentence."), 0.5, append("And this is the final one."), COMMIT,
        update(voice="emma"),
    )  # fmt: skip
    assert kinds(replies).count(RECEIVED) == 3
    assert heard(replies) == "Hello,thisisatest.Thisisthesecondsentence.Andthisisthefinalone.|"
    assert {reply["item_id"] for reply in replies if "item_id" in reply} == {"tts_1"}
    first_audio = kinds(replies).index(DELTA)
    assert first_audio < max(n for n, kind in enumerate(kinds(replies)) if kind == RECEIVED)


def test_dialogue_of_pipecat_has_one_done_when_all_sentences_are_spoken() -> None:
    """A commit for each sentence, and one for the turn."""
    replies = run_dialogue(
        create_protocol(), update(voice="heart"), append("One two."), COMMIT, append("Three."),
        COMMIT, COMMIT, update(speed=1.5),
    )  # fmt: skip
    assert heard(replies) == "Onetwo.Three.|"
    assert {reply["item_id"] for reply in replies if "item_id" in reply} == {"tts_1"}


def test_a_commit_after_all_is_spoken_begins_another_item() -> None:
    protocol = create_protocol()
    for number, offset in enumerate((0, 5), 1):
        decode(protocol, append("One."))
        decode(protocol, COMMIT)
        replies = encode_parsed(protocol, audio_event("1", (offset, offset + 5)))
        replies += encode_parsed(protocol, Flushed("1", offset + 5))
        assert [reply["item_id"] for reply in replies] == [f"tts_{number}"] * 2
        assert kinds(replies) == [DELTA, DONE]


def test_contexts_are_heard_side_by_side() -> None:
    replies = run_dialogue(
        create_protocol(), append("One. ", context_id="a"), append("Two. ", context_id="b"),
        append("Three. "), *(COMMIT | {"context_id": name} for name in ("b", "default", "a")),
        update(speed=1.5),
    )  # fmt: skip
    assert [heard(replies, name) for name in ("a", "b", None)] == ["One.|", "Two.|", "Three.|"]
    items = {(r["item_id"], r.get("context_id")) for r in replies if "item_id" in r}
    assert len(items) == 3


def test_words_are_timed_from_the_items_start() -> None:
    replies = run_dialogue(
        create_protocol(alignment="word", response_format="wav"), append("One two. "), COMMIT,
        append("Three 👋."), COMMIT, update(speed=1.5),
    )  # fmt: skip
    words = [
        (reply["item_id"], word, start)
        for reply in replies
        if reply["type"] == WORDS
        for word, start in zip(reply["words"], reply["start_seconds"], strict=True)
    ]
    assert [(item, word) for item, word, _ in words] == [
        ("tts_1", "One"),
        ("tts_1", "two."),
        ("tts_2", "Three"),
        ("tts_2", "👋."),
    ]
    assert next(start for item, _, start in words if item == "tts_2") < 0.01
    assert WORDS not in kinds(
        run_dialogue(create_protocol(), append("One"), COMMIT, update(speed=2))
    )


def test_words_are_timed_from_an_update_on() -> None:
    replies = run_dialogue(
        create_protocol(), append("One. "), COMMIT, update(alignment="word"), append("Two. "),
        COMMIT, update(alignment="none"), append("Three."), COMMIT, update(speed=1.5),
    )  # fmt: skip
    assert [reply["words"] for reply in replies if reply["type"] == WORDS] == [["Two."]]
    assert heard(replies) == "One.|Two.|Three.|"


def test_clear_drops_what_is_not_spoken_and_answers_commits() -> None:
    later = [COMMIT, append("two. " * 50), COMMIT, CLEAR, append("Later."), COMMIT]
    replies = run_dialogue(create_protocol(), append("One. "), *later, update(speed=1.5))
    parts = heard(replies).split("|")
    assert parts[-2:] == ["Later.", ""]
    assert kinds(replies).count(DONE) == 2
    assert len("".join(parts)) < 60


def test_clear_drops_text_before_an_update_too() -> None:
    before = [append("One. " + "two. " * 50), COMMIT, update(speed=1.5), append("No. "), COMMIT]
    replies = run_dialogue(
        create_protocol(), *before, CLEAR, append("Later."), COMMIT, update(speed=1.2)
    )
    assert heard(replies).split("|")[-2:] == ["Later.", ""]
    assert len(heard(replies)) < 60


def test_text_before_a_refused_one_is_spoken_at_the_commit() -> None:
    protocol = create_protocol()
    decode(protocol, append("One two "))
    decode(protocol, append("x" * 300))
    encode_parsed(protocol, Failed("1", "text_limit", "too much"))
    assert decode(protocol, COMMIT) == [End("1")]
    assert decode(protocol, COMMIT) == []
    replies = encode_parsed(protocol, audio_event("1", (0, 8)))
    assert kinds(replies + encode_parsed(protocol, Done("1", 100, 8, 1))) == [DELTA, DONE]


def test_clear_of_nothing_and_after_the_end() -> None:
    replies = run_dialogue(
        create_protocol(), CLEAR, append("One."), COMMIT, 5.0, CLEAR, CLEAR, COMMIT
    )
    assert heard(replies) == "One.|"


def test_text_that_was_never_committed_is_spoken() -> None:
    replies = run_dialogue(create_protocol(), append("One. Two. "), 5.0, update(speed=1.5))
    assert heard(replies) == "One.Two.|"


def test_text_without_sound_is_done() -> None:
    replies = run_dialogue(create_protocol(), append("👋 "), COMMIT, append(""), COMMIT, CLEAR)
    assert kinds(replies) == [RECEIVED, RECEIVED, DONE]


def test_every_item_is_a_whole_file() -> None:
    replies = run_dialogue(
        create_protocol(response_format="wav"), append("One."), COMMIT, append("Two."), COMMIT,
        update(speed=1.5),
    )  # fmt: skip
    files: dict[str, bytes] = {}
    for reply in replies:
        if reply["type"] == DELTA:
            item = reply["item_id"]
            files[item] = files.get(item, b"") + base64.b64decode(reply["delta"])
    assert [file[:4] for file in files.values()] == [b"RIFF", b"RIFF"]
    assert {len(file) for file in files.values()} == {44 + 4 * CHARACTER_SAMPLES * 2}


def test_unknown_voice_fails_only_its_context() -> None:
    replies = run_dialogue(
        create_protocol(), append("Fine.", context_id="good"), update("bad", voice="nope"),
        append("Hi", context_id="bad"), COMMIT | {"context_id": "bad"},
        COMMIT | {"context_id": "good"}, update(speed=1.5),
    )  # fmt: skip
    failed = [reply for reply in replies if reply["type"] == FAILED]
    assert [(r["context_id"], r["error"]["code"]) for r in failed] == [("bad", "unknown_voice")]
    assert heard(replies, "good") == "Fine.|"


ABUSE: list[Any] = [
    *(append(text, context_id=name) for text in ("One. ", "wo", "👋", "") for name in ("a", "b")),
    *(message | {"context_id": name} for message in (COMMIT, CLEAR) for name in ("a", "b")),
    *(update(voice=voice) for voice in ("heart", "nope")),
    *(update("a", **fields) for fields in ({"speed": 1.2}, {"response_format": "mp3"}, {"x": 1})),
    *({"type": "context.cancel", "context_id": name} for name in ("a", "unknown")),
    *("{", "[]", {"type": "x"}, append("x" * 300, context_id="b"), 0.3, 3.0),
]


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(ABUSE), max_size=14))
def test_any_dialogue_keeps_the_connection(messages: list[Any]) -> None:
    last = [append("Last.", context_id="c"), COMMIT | {"context_id": "c"}, update(speed=1.9)]
    mended = update(voice="heart")
    replies = run_dialogue(create_protocol(alignment="word"), *messages, mended, *last)
    assert heard(replies, "c") == "Last.|"
