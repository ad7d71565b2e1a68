"""Writes an audiobook: MP4 (`.m4b`) with AAC, chapter marks, cover and metadata."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import soundfile
from av.container import OutputContainer
from babel.core import get_global
from numpy.typing import NDArray

from duplex_tts.errors import ClientError
from duplex_tts.playback.file_target import FileTarget, SinkFailed

if TYPE_CHECKING:
    from av.container.core import Chapter

RATE_HZ = 24_000
BIT_RATE = 64_000
SUFFIXES = (".m4b", ".m4a", ".mp4")

_BLOCK = RATE_HZ  # samples encoded at once
_BETWEEN_PARTS = RATE_HZ // 5  # each part ends with half a second of silence
_BETWEEN_CHAPTERS = RATE_HZ * 3 // 2
# `fast` takes a third of the time of the default; at this rate they sound the same.
_ENCODER = {"aac_coder": "fast"}
_MUXER = {"brand": "M4B ", "movflags": "+faststart"}
_AUDIOBOOK = "2"  # the media type by which players tell it from music


class DamagedPart(ClientError):
    """The sound of a part cannot be read to its end."""

    code = "damaged_part"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was damaged and is deleted: run it again, which renders it again")
        self.path = path


@dataclass(frozen=True, slots=True)
class SpokenChapter:
    """A chapter, and the sound files of its parts: mono, `RATE_HZ`."""

    title: str
    parts: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Audiobook:
    """What to write. `metadata`: `title`, `artist`, `date`, `comment` and the like; `language`: a
    tag; `cover`: JPEG.
    """

    chapters: Sequence[SpokenChapter]
    metadata: Mapping[str, str] = field(default_factory=dict)
    language: str = ""
    cover: bytes | None = None


def write_m4b(book: Audiobook, path: Path, on_progress: Callable[[float], None]) -> float:
    """Write the file, complete or not at all; returns its duration in seconds.

    Blocks: a minute for some hours of speech. `on_progress` is called with the seconds written.
    Raises `SinkFailed` and `DamagedPart`.
    """
    target = FileTarget(path)
    try:
        with av.open(str(target.write_path), "w", format="mp4", options=_MUXER) as container:
            seconds = _write_container(book, container, on_progress)
        target.complete()
    except (OSError, av.FFmpegError, soundfile.SoundFileError) as error:
        target.abandon(keep=False)
        raise SinkFailed(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    except BaseException:
        target.abandon(keep=False)
        raise
    return seconds


def measure_seconds(chapters: Sequence[SpokenChapter]) -> float:
    """How long an audiobook of these chapters lasts."""
    return sum(map(_count_samples, chapters)) / RATE_HZ


def read_comment(path: Path) -> str:
    """Return the comment of an audiobook; empty if there is none, or no such file."""
    try:
        with av.open(str(path)) as container:
            return str(container.metadata.get("comment", ""))
    except (OSError, av.FFmpegError):
        return ""


def _write_container(
    book: Audiobook, container: OutputContainer, on_progress: Callable[[float], None]
) -> float:
    container.metadata.update(book.metadata)
    container.metadata.update({"genre": "Audiobook", "media_type": _AUDIOBOOK})
    stream = container.add_stream("aac", rate=RATE_HZ, layout="mono", options=_ENCODER)
    stream.bit_rate = BIT_RATE
    stream.metadata["language"] = three_letter_code(book.language)
    picture = _add_cover(container, book.cover) if book.cover else None
    container.set_chapters(_chapter_marks(book.chapters))
    container.start_encoding()
    if picture is not None:
        container.mux(picture)
    written = 0
    for block in _read_blocks(book.chapters):
        frame = av.AudioFrame.from_ndarray(block[np.newaxis], format="s16", layout="mono")
        frame.rate, frame.pts, frame.time_base = RATE_HZ, written, Fraction(1, RATE_HZ)
        container.mux(stream.encode(frame))
        written += len(block)
        on_progress(written / RATE_HZ)
    container.mux(stream.encode(None))
    return written / RATE_HZ


def _add_cover(container: OutputContainer, jpeg: bytes) -> av.Packet[av.VideoStream]:
    """Add the stream of the cover; returns its packet, to be muxed after the header."""
    with av.open(io.BytesIO(jpeg), "r") as image:
        source = image.streams.video[0]
        packet = next(packet for packet in image.demux(source) if packet.size)
        stream = container.add_stream_from_template(source)
        stream.disposition = av.stream.Disposition.attached_pic
    packet.stream, packet.pts, packet.dts = stream, 0, 0
    return packet


def _chapter_marks(chapters: Sequence[SpokenChapter]) -> list[Chapter]:
    starts = [0]
    for chapter in chapters:
        starts.append(starts[-1] + _count_samples(chapter))
    return [
        {
            "id": number,
            "start": start * 1000 // RATE_HZ,
            "end": end * 1000 // RATE_HZ,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": chapter.title},
        }
        for number, (chapter, (start, end)) in enumerate(
            zip(chapters, pairwise(starts), strict=True)
        )
    ]


def _count_samples(chapter: SpokenChapter) -> int:
    spoken = sum(soundfile.info(part).frames for part in chapter.parts)
    return int(spoken) + _BETWEEN_PARTS * (len(chapter.parts) - 1) + _BETWEEN_CHAPTERS


def _read_blocks(chapters: Sequence[SpokenChapter]) -> Iterator[NDArray[np.int16]]:
    for chapter in chapters:
        for number, part in enumerate(chapter.parts):
            if number:
                yield np.zeros(_BETWEEN_PARTS, np.int16)
            yield from _read_part(part)
        yield np.zeros(_BETWEEN_CHAPTERS, np.int16)


def _read_part(path: Path) -> Iterator[NDArray[np.int16]]:
    try:
        with soundfile.SoundFile(path) as file:
            while len(block := file.read(_BLOCK, dtype="int16")):
                yield block
    except soundfile.SoundFileError as error:
        raise DamagedPart(path) from error


def three_letter_code(tag: str) -> str:
    """Return the code of ISO 639-2 for a language tag, which MP4 needs; `und` if unknown."""
    primary = tag.replace("_", "-").partition("-")[0].lower()
    if len(primary) == 3:
        return primary
    aliases: Mapping[str, str] = get_global("language_aliases")
    codes = [
        code
        for code, meant in aliases.items()
        if meant == primary and len(code) == 3 and code != "cmn"
    ]
    return codes[0] if codes else "und"
