"""Reading text from arguments, files and pipes."""

import codecs
import os
from pathlib import Path

import pytest

from duplex_tts.cli.text_files import (
    TextFailed,
    iter_arriving,
    source_from_descriptor,
    source_from_path,
    source_from_text,
)


def test_text_is_read_as_it_arrives_without_splitting_characters() -> None:
    read_end, write_end = os.pipe()
    text = iter_arriving(read_end)
    os.write(write_end, "H\N{LATIN SMALL LETTER E WITH ACUTE}".encode()[:2])
    assert next(text) == "H"
    os.write(write_end, "H\N{LATIN SMALL LETTER E WITH ACUTE}".encode()[2:] + b"!")
    assert next(text) == "\N{LATIN SMALL LETTER E WITH ACUTE}!"
    os.write(write_end, b"\xe2\x82")
    os.close(write_end)
    assert list(text) == ["\N{REPLACEMENT CHARACTER}"]
    os.close(read_end)


def test_the_length_is_known_for_files_and_unknown_for_pipes(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("from a file")
    source = source_from_path(tmp_path / "book.txt")
    assert (source.length, source.empty) == (11, False)
    assert source.text == "from a file"
    with (tmp_path / "book.txt").open() as redirected:
        assert source_from_descriptor(redirected.fileno()).length == 11
    read_end, write_end = os.pipe()
    piped = source_from_descriptor(read_end)
    assert (piped.length, piped.empty) == (None, False)
    os.close(write_end)
    assert list(iter_arriving(read_end)) == []
    os.close(read_end)


def test_a_closed_descriptor_yields_no_text() -> None:
    assert source_from_descriptor(-1).empty
    assert list(iter_arriving(-1)) == []


@pytest.mark.parametrize("text", ["", " \n\t", "\u3000"])
def test_text_of_spaces_is_empty(text: str) -> None:
    assert source_from_text(text).empty


def test_a_byte_order_mark_is_not_spoken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + b"Hello")
    assert source_from_path(tmp_path / "a.txt").text == "Hello"
    read_end, write_end = os.pipe()
    os.write(write_end, codecs.BOM_UTF8 + b"Hello")
    os.close(write_end)
    assert list(iter_arriving(read_end)) == ["Hello"]
    os.close(read_end)


@pytest.mark.parametrize(
    "raw",
    [
        "Hello".encode("utf-16"),
        codecs.BOM_UTF16_BE + b"\0H",
        "Hello".encode("utf-16-le"),
        b"\x7fELF\0",
    ],
)
def test_files_that_are_not_utf8_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(raw)
    with pytest.raises(TextFailed, match="save it as UTF-8"):
        source_from_path(tmp_path / "a.txt")
    read_end, write_end = os.pipe()
    os.write(write_end, raw)
    os.close(write_end)
    with pytest.raises(TextFailed, match="save it as UTF-8"):
        next(iter_arriving(read_end))


@pytest.mark.parametrize(("name", "answer"), [("none.txt", "No such file"), (".", "a folder")])
def test_unreadable_files_are_refused_with_the_reason(
    tmp_path: Path, name: str, answer: str
) -> None:
    with pytest.raises(TextFailed, match=answer):
        source_from_path(tmp_path / name)
