"""The lines of a batch: what each one asks for, or what is wrong with it. Plain."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from duplex_tts.channel.context import Parameters
from duplex_tts.sinks import FILE_FORMATS

ID_BYTES = 200  # what file systems take, less what is put around it
_FORBIDDEN = frozenset('<>:"/\\|?*')  # on one system or another
_DEVICES = frozenset({"con", "prn", "aux", "nul"})  # no names for files on Windows

_NO_NUMBERS = frozenset({math.inf, -math.inf})  # 1e999 is JSON
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "voice": ((str,), "a text"),
    "language": ((str,), "a text"),
    "speed": ((int, float), "a number"),
    "volume": ((int, float), "a number"),
    "seed": ((int,), "a whole number"),
    "sample_rate": ((int,), "a whole number"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A text to speak, and the file to speak it into. `digest` names all that its sound depends on.

    The line `number` counts from 1.
    """

    number: int
    id: str
    text: str
    format: str
    parameters: Parameters

    @property
    def file_name(self) -> str:
        """Within the folder of the batch."""
        return f"{self.id}.{self.format}"

    @property
    def digest(self) -> str:
        """The same for the same text and parameters, in every run."""
        asked = {name: value for name, value in self.parameters.items() if value is not None}
        described = json.dumps([self.text, asked], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Failure:
    """A line that could not be spoken; `id` is empty where it has none."""

    number: int
    id: str
    why: str


def read_lines(
    lines: Iterable[bytes], format_: str, defaults: Parameters
) -> Iterator[Line | Failure]:
    """What the JSON lines ask for, in order; empty ones are skipped.

    `format_` and `defaults` hold for lines that say nothing else.
    """
    taken: dict[str, int] = {}
    for number, raw in enumerate(lines, 1):
        text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if not text.strip():
            continue
        try:
            line = _line(number, _object(text), format_, defaults)
            key = unicodedata.normalize("NFC", line.id).casefold()  # as file systems see it
            if key in taken:
                raise ValueError(f"the id {line.id!r} is that of line {taken[key]}")
            taken[key] = number
            yield line
        except ValueError as error:
            yield Failure(number, "", str(error))


def _object(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text.decode(), parse_constant=_refuse)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("not JSON that can be read: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(fields, dict):
        raise ValueError('not a JSON object like {"text": "Hello there."}')
    return fields


def _refuse(constant: str) -> None:
    raise ValueError(f"not JSON: {constant}")


def _line(number: int, fields: dict[str, Any], format_: str, defaults: Parameters) -> Line:
    text = fields.get("text")
    if not isinstance(text, str):
        there = ", ".join(map(repr, fields)) or "nothing"
        raise ValueError(f'no "text" (a text; the line has {there})')
    if not text.strip():
        raise ValueError('the "text" is empty')
    format_ = fields.get("format", format_)
    if not isinstance(format_, str) or format_ not in FILE_FORMATS:
        raise ValueError(f"no format {format_!r}; there are {', '.join(FILE_FORMATS)}")
    asked = {name: fields[name] for name in _KINDS if fields.get(name) is not None}
    for name, value in asked.items():
        kinds, kind = _KINDS[name]
        if not isinstance(value, kinds) or isinstance(value, bool) or value in _NO_NUMBERS:
            raise ValueError(f'"{name}" is not {kind}: {value!r}')
    parameters = cast(Parameters, {**defaults, **asked})
    return Line(number, _id(fields.get("id"), number), text, format_, parameters)


def _id(value: object, number: int) -> str:
    if value is None:
        return f"{number:05d}"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'"id" is not a text: {value!r}')
    id_ = str(value)
    try:
        length = len(id_.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the id {id_!r} is no name for a file: half a character") from None
    if not 0 < length <= ID_BYTES:
        raise ValueError(f"an id is a file's name: 1 to {ID_BYTES} bytes, not {length}")
    bad = sorted({c for c in id_ if c in _FORBIDDEN or not c.isprintable()})
    if bad:
        raise ValueError(f"the id {id_!r} is no name for a file: it has {' '.join(map(repr, bad))}")
    if id_ != id_.strip(". ") or id_.casefold() in _DEVICES:
        raise ValueError(f"the id {id_!r} is no name for a file")
    return id_
