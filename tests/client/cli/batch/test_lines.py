import json
import string
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.batch.lines import BatchLine, LineFailure, parse_lines


def parse_all(*lines: bytes | dict[str, Any], **defaults: Any) -> list[BatchLine | LineFailure]:
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return list(parse_lines(raw, "wav", cast(Parameters, defaults)))


def parse_one(*lines: bytes | dict[str, Any], **defaults: Any) -> BatchLine:
    (found,) = parse_all(*lines, **defaults)
    assert isinstance(found, BatchLine), found
    return found


def failure_reason(raw: bytes | dict[str, Any]) -> str:
    (found,) = parse_all(raw)
    assert isinstance(found, LineFailure), found
    return found.why


def test_a_line_sets_text_parameters_and_file() -> None:
    found = parse_one(
        {
            "id": "welcome",
            "text": "Hello.",
            "voice": "emma",
            "speed": 1.5,
            "seed": 7,
            "language": "en",
            "format": "flac",
            "sample_rate": 16000,
        }
    )
    assert (found.id, found.text, found.file_name) == ("welcome", "Hello.", "welcome.flac")
    assert found.parameters == {
        "voice": "emma",
        "speed": 1.5,
        "seed": 7,
        "language": "en",
        "sample_rate": 16000,
    }


def test_options_apply_to_lines_that_do_not_set_them() -> None:
    found = parse_one({"text": "Hello.", "speed": 2}, voice="emma", speed=0.5, seed=None)
    assert found.parameters == {"voice": "emma", "speed": 2, "seed": None}
    assert parse_one({"text": "Hi", "voice": None}, voice="emma").parameters == {"voice": "emma"}


def test_a_file_is_named_after_the_id_or_the_number_of_the_line() -> None:
    found = parse_all(
        b"", {"text": "a"}, b"  \r\n", {"id": 17, "text": "b"}, {"id": "é ü", "text": "c"}
    )
    assert [parsed.file_name for parsed in found if isinstance(parsed, BatchLine)] == [
        "00002.wav",
        "17.wav",
        "é ü.wav",
    ]


def test_unknown_fields_are_ignored() -> None:
    assert parse_one({"text": "Hello.", "chapter": 3}).parameters == {}


def test_a_byte_order_mark_and_windows_line_ends_are_accepted() -> None:
    assert parse_one(b'\xef\xbb\xbf{"text": "Hello."}\r\n').text == "Hello."


def test_one_bad_line_does_not_stop_the_others() -> None:
    found = parse_all({"text": "a"}, b"{", {"text": "c"})
    assert [type(parsed) for parsed in found] == [BatchLine, LineFailure, BatchLine]
    assert [parsed.number for parsed in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"not json", "not JSON: Expecting value at column 1"),
        (b'{"text": "a"', "not JSON: Expecting ',' delimiter at column 13"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"text": "caf\xe9"}', "not UTF-8"),
        (b'["text"]', "not a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"text": "a", "speed": NaN}', "not JSON: NaN"),
        (b'{"text": "a", "speed": 1e999}', '"speed" is not a number'),
        (b'{"text": "a", "seed": ' + b"9" * 5000 + b"}", "digits"),
    ],
)
def test_lines_that_are_not_json_objects_are_refused(raw: bytes, answer: str) -> None:
    assert answer in failure_reason(raw)


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"txt": "Hello."}, "no \"text\" (a string; the line has 'txt')"),
        ({}, 'no "text" (a string; the line has nothing)'),
        ({"text": ["a"]}, 'no "text"'),
        ({"text": " \n"}, 'the "text" is empty'),
        ({"text": "a", "voice": 3}, '"voice" is not a string: 3'),
        ({"text": "a", "speed": "fast"}, "\"speed\" is not a number: 'fast'"),
        ({"text": "a", "speed": True}, '"speed" is not a number: True'),
        ({"text": "a", "seed": 1.5}, '"seed" is not a whole number: 1.5'),
        ({"text": "a", "format": "docx"}, "unknown format 'docx'; known are wav, flac"),
        ({"text": "a", "format": ["wav"]}, "unknown format ['wav']"),
        ({"text": "a", "id": {}}, '"id" is not a string: {}'),
        ({"text": "a", "id": True}, '"id" is not a string: True'),
    ],
)
def test_missing_and_invalid_fields_are_refused(fields: dict[str, Any], answer: str) -> None:
    assert answer in failure_reason(fields)


@pytest.mark.parametrize(
    "id_",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../escape",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:",
        "a\0b",
        "a\nb",
        "a\u202eb",
        "\ud800",
        " a",
        "a.",
        "CON",
        "x" * 201,
        "é" * 101,
    ],
)
def test_an_id_that_is_not_a_file_name_is_refused(id_: str) -> None:
    assert "file" in failure_reason({"id": id_, "text": "a"})


@pytest.mark.parametrize(
    ("one", "other"), [("a", "a"), ("a", "A"), ("é", "e\u0301"), ("00001", None), ("7", 7)]
)
def test_ids_that_file_systems_treat_alike_are_refused(one: Any, other: Any) -> None:
    lines = [{"id": other, "text": "b"}, {"id": one, "text": "a"}]
    first, second = parse_all(*lines)
    assert isinstance(first, BatchLine)
    assert isinstance(second, LineFailure)
    assert "is that of line 1" in second.why


def test_the_digest_depends_on_text_and_parameters_only() -> None:
    base = {"id": "a", "text": "Hello.", "voice": "emma", "seed": 1}
    same = parse_one(base).digest
    assert parse_one({**base, "id": "b"}).digest == same, "the id does not change the sound"
    assert parse_one({"text": "Hello.", "seed": 1}, voice="emma", speed=None).digest == same
    for change in ({"text": "Hello!"}, {"voice": "heart"}, {"seed": 2}, {"speed": 1.5}):
        assert parse_one({**base, **change}).digest != same


@given(st.binary(max_size=200))
def test_any_bytes_give_a_line_or_a_failure(raw: bytes) -> None:
    for found in parse_all(raw):
        assert found.number == 1


@given(st.text(max_size=50) | st.sampled_from(string.printable))
def test_no_id_escapes_the_folder(id_: str) -> None:
    for found in parse_all({"id": id_, "text": "a"}):
        if isinstance(found, BatchLine):
            assert not {"/", "\\", "\0"} & set(found.file_name)
            assert not found.file_name.startswith(".")
