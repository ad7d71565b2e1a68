"""Mistral's protocol, alone and against the core."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import DuplexError, Unsupported
from backend.events import Audio, Done, End, Failed, Ping, Pong, Ready, Start, Text, Voice
from backend.protocols.base import Close
from backend.protocols.mistral.errors import build_refusal
from backend.protocols.mistral.http import MistralEvents, MistralObject, MistralSpeechRequest
from backend.protocols.mistral.websocket import MistralProtocol, shorten_reason
from backend.protocols.voice_names import find_voice
from tests.support.engines.fake_engine import CHARACTER_SAMPLES, decode_pcm
from tests.support.mistral_messages import END, FLUSH, PCM, append, update
from tests.support.vendor_dialogue import decode_speech, encode_parsed, run_dialogue

VOICES = (
    Voice("heart", "en-US", "", ready=True, gender="female"),
    Voice("emma", "en-GB", "", ready=True, gender="female"),
)
READY = Ready("session", "token", "heart", 24000, "pcm_s16le")
CLOSED = Close(1000)


def find_test_voice(name: str) -> str:
    return find_voice(name, VOICES, "heart")


@pytest.fixture
def protocol() -> MistralProtocol:
    return MistralProtocol("voxtral-mini-tts-3", find_test_voice)


def kinds(replies: list[Any]) -> list[str]:
    return ["closed" if isinstance(reply, Close) else reply["type"] for reply in replies]


def speech(replies: list[Any]) -> str:
    """What is heard in `pcm`, with a bar for each end of a generation."""
    parts, data = [], list[str]()
    for reply in replies:
        if isinstance(reply, Close) or reply["type"] == "speech.audio.done":
            parts.append(decode_speech(data) if data else "")
            data = []
        elif reply["type"] == "speech.audio.delta":
            data.append(reply["audio_data"])
    return "|".join(parts)


# --- the session ----------------------------------------------------------------------------------


def test_session_created_has_all_settings(protocol: MistralProtocol) -> None:
    assert encode_parsed(protocol, READY) == [
        {
            "type": "session.created",
            "session": {
                "request_id": "session",
                "model": "voxtral-mini-tts-3",
                "voice": "heart",
                "is_ref_audio": False,
                "is_voice_profile": False,
                "streaming_mode": "responsive",
                "response_format": "wav",
                "expressiveness": 1.0,
            },
        }
    ]


def test_update_opens_the_context_and_keeps_other_settings(protocol: MistralProtocol) -> None:
    protocol.encode(READY)
    start, ping = protocol.decode(json.dumps(update(voice="gb_jane_neutral", expressiveness=2)))
    assert start == Start("1", "emma", "wav", 24000, mode="stream")
    assert isinstance(ping, Ping)
    (updated,) = encode_parsed(protocol, Pong(ping.id))
    assert updated["type"] == "session.updated"
    assert (updated["session"]["voice"], updated["session"]["expressiveness"]) == ("emma", 2)
    end, start, ping = protocol.decode(json.dumps(update(response_format="pcm", voice=None)))
    assert end == End("1")
    assert start == Start("2", "emma", "pcm_f32le", 24000, mode="stream", follows="1")
    assert isinstance(ping, Ping)
    (updated,) = encode_parsed(protocol, Pong(ping.id))
    assert (updated["session"]["response_format"], updated["session"]["voice"]) == ("pcm", "emma")


def test_update_without_a_change_ends_nothing(protocol: MistralProtocol) -> None:
    protocol.decode(json.dumps(append("Hello")))
    (reply,) = protocol.decode(json.dumps(update(streaming_mode="long_form")))
    assert isinstance(reply, Ping)


@pytest.mark.parametrize("field", ["ref_audio", "voice_profile"])
def test_a_cloned_voice_is_refused_with_the_remedy(protocol: MistralProtocol, field: str) -> None:
    with pytest.raises(Unsupported, match="POST /v1/voices"):
        protocol.decode(json.dumps(update(**{field: "UklGRg=="})))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"sound", "binary_message"),
        ("Hello", "bad_json"),
        ("[]", "bad_message"),
        ("{}", "bad_message"),
        ('{"type": "input_text.append"}', "bad_message"),
        ('{"type": "input_text.append", "text": null}', "bad_message"),
        ('{"type": "input_text.append", "text": 5}', "bad_message"),
        ('{"type": "input_text.append", "text": "\\ud83d"}', "bad_json"),
        ('{"type": "input_text.flush", "text": []}', "bad_message"),
        ('{"type": "input_text.clear"}', "unknown_type"),
        ('{"type": "session.update"}', "bad_message"),
        ('{"type": "session.update", "session": 5}', "bad_message"),
        ('{"type": "session.update", "session": {"response_format": "aac"}}', "bad_message"),
        ('{"type": "session.update", "session": {"expressiveness": 0}}', "bad_message"),
        ('{"type": "session.update", "session": {"expressiveness": NaN}}', "bad_message"),
        ('{"type": "session.update", "session": {"streaming_mode": "x"}}', "bad_message"),
    ],
)
def test_rejected_message_gets_an_error_and_the_session_goes_on(
    protocol: MistralProtocol, message: str | bytes, code: str
) -> None:
    with pytest.raises(DuplexError) as error:
        protocol.decode(message)
    assert error.value.code == code
    (reply,) = encode_parsed(protocol, Failed(None, code, error.value.message))
    assert reply["type"] == "error"
    assert reply["error"]["message"] == error.value.message
    assert isinstance(reply["error"]["code"], int)
    assert reply["error"]["type"] == code
    assert protocol.decode(json.dumps(append("Hello")))[1] == Text("1", "Hello")


# --- dialogues ------------------------------------------------------------------------------------


def test_dialogue_of_the_sdk_speaks_and_closes(protocol: MistralProtocol) -> None:
    """What `speak_stream` of mistralai 3.7.0 sends."""
    replies = run_dialogue(
        protocol, update(voice="heart", response_format="pcm"), append("Hello, "),
        append("world."), END,
    )  # fmt: skip
    assert kinds(replies)[0] == "session.updated"
    assert set(kinds(replies)[1:-2]) == {"speech.audio.delta"}
    assert kinds(replies)[-2:] == ["speech.audio.done", "closed"]
    assert speech(replies) == "Hello,world.|"
    assert replies[-1] == CLOSED
    assert replies[-2]["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "total_tokens": 6,
    }


def test_each_flush_ends_a_generation(protocol: MistralProtocol) -> None:
    replies = run_dialogue(
        protocol, PCM, append("One"), FLUSH | {"text": " more"}, FLUSH | {"text": None}, FLUSH,
        FLUSH | {"text": "Two."}, append(""), append("Three"), END,
    )  # fmt: skip
    assert speech(replies) == "Onemore|||Two.|Three|"
    empty = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    usages = [reply["usage"] for reply in replies[:-1] if reply["type"] == "speech.audio.done"]
    assert [usage == empty for usage in usages] == [False, True, True, False, False]


def test_end_after_a_flush_sends_no_further_done(protocol: MistralProtocol) -> None:
    replies = run_dialogue(protocol, PCM, append("One."), FLUSH, END, append("late"), FLUSH)
    assert speech(replies) == "One.|"
    assert kinds(replies)[-2:] == ["speech.audio.done", "closed"]


@pytest.mark.parametrize("before", [[], [append("")], [PCM], [FLUSH]])
def test_end_without_text_closes(protocol: MistralProtocol, before: list[dict[str, Any]]) -> None:
    replies = run_dialogue(protocol, *before, END)
    assert replies[-1] == CLOSED
    assert kinds(replies).count("speech.audio.done") == before.count(FLUSH)


def test_text_without_sound_is_a_generation(protocol: MistralProtocol) -> None:
    replies = run_dialogue(protocol, PCM, append("👋 \n"), FLUSH, append(" "), END)
    assert kinds(replies) == ["session.updated", *["speech.audio.done"] * 2, "closed"]


def test_settings_change_between_generations_in_order(protocol: MistralProtocol) -> None:
    replies = run_dialogue(
        protocol, PCM, append("One. " * 20), FLUSH, update(response_format="wav"), append("Two."),
        FLUSH, PCM, append("Three."), END,
    )  # fmt: skip
    wanted = ["speech.audio.done", "closed"]
    ends = [n for n, kind in enumerate(kinds(replies)) if kind in wanted]
    deltas = [
        b"".join(base64.b64decode(r["audio_data"]) for r in part if "audio_data" in r)
        for part in (replies[: ends[0]], replies[ends[0] : ends[1]], replies[ends[1] : ends[2]])
    ]
    assert decode_pcm(np.frombuffer(deltas[0], "<f4")) == "One." * 20
    assert deltas[1][:4] == b"RIFF"
    assert len(deltas[1]) == 44 + 4 * CHARACTER_SAMPLES * 2
    assert decode_pcm(np.frombuffer(deltas[2], "<f4")) == "Three."


@pytest.mark.parametrize(("last", "text"), [([FLUSH, END], "Two."), ([END], "Two."), ([END], "")])
def test_a_changed_session_continues_the_generation(
    protocol: MistralProtocol, last: list[dict[str, Any]], text: str
) -> None:
    changed = update(response_format="wav")
    replies = run_dialogue(protocol, PCM, append("One. "), changed, append(text), *last)
    assert kinds(replies).count("speech.audio.done") == 1
    assert kinds(replies)[-2:] == ["speech.audio.done", "closed"]


def test_every_generation_is_a_whole_file(protocol: MistralProtocol) -> None:
    replies = run_dialogue(protocol, append("One."), FLUSH, append("Two."), FLUSH, END)
    files = speech_files(replies)
    assert [file[:4] for file in files] == [b"RIFF", b"RIFF"]
    assert [len(file) for file in files] == [44 + 4 * CHARACTER_SAMPLES * 2] * 2


def speech_files(replies: list[Any]) -> list[bytes]:
    files, data = [], b""
    for reply in replies:
        if isinstance(reply, Close):
            continue
        data += base64.b64decode(reply.get("audio_data", ""))
        if reply["type"] == "speech.audio.done":
            files.append(data)
            data = b""
    return files


def test_unknown_voice_closes_without_an_error_event(protocol: MistralProtocol) -> None:
    """As the SDK expects."""
    replies = run_dialogue(protocol, update(voice="nope"))
    assert kinds(replies)[0] == "closed"
    assert replies[0].code == 1008
    assert replies[0].reason.startswith("no voice 'nope'; voices: heart")


def test_close_reason_fits_its_frame() -> None:
    assert shorten_reason("short") == "short"
    assert len(shorten_reason("ä" * 200).encode()) == 122
    assert len(shorten_reason("a" * 200)) == 123


@pytest.mark.parametrize("code", ["timeout", "engine_failed", "text_limit"])
def test_lost_sentence_or_text_gets_an_error_and_the_session_goes_on(
    protocol: MistralProtocol, code: str
) -> None:
    protocol.decode(json.dumps(append("One.")))
    assert kinds(encode_parsed(protocol, Failed("1", code, "lost"))) == ["error"]


@pytest.mark.parametrize("code", ["overloaded", "engine_dead", "too_many_contexts", "unsupported"])
def test_lost_context_gets_an_error_and_closes(protocol: MistralProtocol, code: str) -> None:
    protocol.decode(json.dumps(append("One.")))
    replies = encode_parsed(protocol, Failed("1", code, "gone"))
    assert (replies[0]["type"], replies[1]) == ("error", Close(1008, code))


def test_empty_audio_is_not_sent(protocol: MistralProtocol) -> None:
    silent = Audio("1", 0, 0.0, 0.0, (0, 2), (), b"")
    assert encode_parsed(protocol, silent) == []


ABUSE: list[Any] = [
    *map(append, ("One. ", "wo", "👋", "", "x" * 300)),
    *(FLUSH, FLUSH | {"text": "Two"}, "{", "[]", {"type": "x"}, 0.3, 3.0),
    *(update(**fields) for fields in ({"response_format": "mp3"}, {"voice": "heart"}, {"x": 1})),
    *(update(**fields) for fields in ({"ref_audio": "x"}, {"response_format": "x"}, {"voice": 5})),
]


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(ABUSE), max_size=14))
def test_any_dialogue_answers_each_flush_and_closes_at_its_end(messages: list[Any]) -> None:
    protocol = MistralProtocol("voxtral", find_test_voice)
    replies = run_dialogue(protocol, *messages, PCM, append("Last."), END)
    assert replies[-1] == CLOSED
    assert decode_speech([replies[-3]["audio_data"]]).endswith("Last.")
    flushes = sum(isinstance(m, dict) and m["type"] == FLUSH["type"] for m in messages)
    assert kinds(replies).count("speech.audio.done") == flushes + 1


# --- HTTP -----------------------------------------------------------------------------------------


def parse(**fields: object) -> MistralSpeechRequest:
    return MistralSpeechRequest.model_validate({"input": "Hi", **fields})


def test_request_has_mistrals_defaults_and_hints() -> None:
    start = parse(voice_id="gb_jane_sad", phoneme_hints={"Nguyen": ["w", "ɪ", "n"]}).build_start(
        find_test_voice
    )
    assert (start.voice, start.format, start.sample_rate) == ("emma", "mp3", 24000)
    assert start.lexicon == {"Nguyen": "/wɪn/"}
    assert parse(response_format="pcm").build_start(find_test_voice).format == "pcm_f32le"
    with pytest.raises(Unsupported):
        parse(ref_audio="AAAA").build_start(find_test_voice)


@pytest.mark.parametrize("sizes", [[], [0], [1], [2, 2], [3, 1, 5, 7]])
def test_object_is_sent_while_it_is_spoken(sizes: list[int]) -> None:
    body = MistralObject()
    data = [bytes(range(size)) for size in sizes]
    sent = [body.encode(Audio("a", n, 0, 1, (0, 0), (), each)) for n, each in enumerate(data)]
    sent.append(body.encode(Done("a", 1, 1, 1)))
    assert base64.b64decode(json.loads(b"".join(sent))["audio_data"]) == b"".join(data)
    assert body.encode(Failed("a", "timeout", "late")) == b"", "aborts the response"


def test_streamed_error_is_an_event() -> None:
    sent = MistralEvents().encode(Failed("a", "timeout", "late")).decode()
    assert sent.startswith("event: error\ndata: {")


@pytest.mark.parametrize(
    ("code", "status", "number"),
    [("unknown_voice", 404, "1902"), ("invalid_api_key", 401, "401"), ("overloaded", 503, "503")],
)
def test_http_errors_have_mistrals_form(code: str, status: int, number: str) -> None:
    refused = build_refusal(Failed(None, code, "why"))
    body = json.loads(refused.body)
    assert refused.status == body["raw_status_code"] == status
    assert (body["object"], body["message"], body["code"]) == ("error", "why", number)


def test_validation_error_has_a_list_of_details() -> None:
    body = json.loads(build_refusal(Failed(None, "bad_message", "input: too short")).body)
    (detail,) = body["detail"]
    assert body["message"] == {"detail": [detail]}
    assert (detail["loc"], detail["msg"]) == (["body", "input"], "too short")
