"""Parses the JSON lines of a batch."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from duplex_tts.channel.context import Parameters
from duplex_tts.sinks import FILE_FORMATS

ID_BYTES = 200  # limit of file systems, less the suffix and the temporary prefix
_FORBIDDEN = frozenset('<>:"/\\|?*')  # on some file systems
_DEVICES = frozenset({"con", "prn", "aux", "nul"})  # reserved on Windows

_INFINITE = frozenset({math.inf, -math.inf})  # JSON allows 1e999
_FIELD_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "voice": ((str,), "a string"),
    "language": ((str,), "a string"),
    "speed": ((int, float), "a number"),
    "volume": ((int, float), "a number"),
    "seed": ((int,), "a whole number"),
    "sample_rate": ((int,), "a whole number"),
}


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A text to render, and its file. The line `number` counts from 1."""

    number: int
    id: str
    text: str
    format: str
    parameters: Parameters

    @property
    def file_name(self) -> str:
        """Its name in the folder of the batch."""
        return f"{self.id}.{self.format}"

    def subtitle_path(self, folder: Path, format_: str) -> Path:
        """The path of its subtitle file."""
        return folder / f"{self.id}.{format_}"

    @property
    def digest(self) -> str:
        """Hash of the text and the parameters."""
        given = {name: value for name, value in self.parameters.items() if value is not None}
        described = json.dumps([self.text, given], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class LineFailure:
    """A line that could not be rendered; `id` is empty if unknown, `code` without an error."""

    number: int
    id: str
    why: str
    code: str = ""


def parse_lines(
    lines: Iterable[bytes], format_: str, defaults: Parameters
) -> Iterator[BatchLine | LineFailure]:
    """Parse JSON lines in order; empty lines are skipped.

    `format_` and `defaults` apply to lines that do not set them.
    """
    number_by_id: dict[str, int] = {}
    for number, raw in enumerate(lines, 1):
        text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if not text.strip():
            continue
        try:
            line = _parse_line(number, _parse_object(text), format_, defaults)
            key = unicodedata.normalize("NFC", line.id).casefold()  # as file systems compare names
            if key in number_by_id:
                raise ValueError(f"the id {line.id!r} is that of line {number_by_id[key]}")
            number_by_id[key] = number
            yield line
        except ValueError as error:
            yield LineFailure(number, "", str(error))


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("not readable JSON: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(fields, dict):
        raise ValueError('not a JSON object like {"text": "Hello there."}')
    return fields


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"not JSON: {constant}")


def _parse_line(
    number: int, fields: dict[str, Any], format_: str, defaults: Parameters
) -> BatchLine:
    text = fields.get("text")
    if not isinstance(text, str):
        present = ", ".join(map(repr, fields)) or "nothing"
        raise ValueError(f'no "text" (a string; the line has {present})')
    if not text.strip():
        raise ValueError('the "text" is empty')
    format_ = fields.get("format", format_)
    if not isinstance(format_, str) or format_ not in FILE_FORMATS:
        raise ValueError(f"unknown format {format_!r}; known are {', '.join(FILE_FORMATS)}")
    given = {name: fields[name] for name in _FIELD_TYPES if fields.get(name) is not None}
    for name, value in given.items():
        types, expected = _FIELD_TYPES[name]
        if not isinstance(value, types) or isinstance(value, bool) or value in _INFINITE:
            raise ValueError(f'"{name}" is not {expected}: {value!r}')
    parameters = cast(Parameters, {**defaults, **given})
    return BatchLine(number, _parse_id(fields.get("id"), number), text, format_, parameters)


def _parse_id(value: object, number: int) -> str:
    if value is None:
        return f"{number:05d}"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'"id" is not a string: {value!r}')
    id_ = str(value)
    try:
        length = len(id_.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the id {id_!r} is not a file name: it has a lone surrogate") from None
    if not 0 < length <= ID_BYTES:
        raise ValueError(f"an id is a file name of 1 to {ID_BYTES} bytes, not {length}")
    bad = sorted({c for c in id_ if c in _FORBIDDEN or not c.isprintable()})
    if bad:
        raise ValueError(f"the id {id_!r} is not a file name: it has {' '.join(map(repr, bad))}")
    if id_ != id_.strip(". ") or id_.casefold() in _DEVICES:
        raise ValueError(f"the id {id_!r} is not a file name")
    return id_
