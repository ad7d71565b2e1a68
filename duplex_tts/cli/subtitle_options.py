"""The option `--subtitles` of `say` and `batch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from duplex_tts.playback.file_target import STDOUT
from duplex_tts.subtitles import SUBTITLE_FORMATS

_HINT = "--subtitles"
_KNOWN = ", ".join(SUBTITLE_FORMATS)


def find_subtitle_paths(values: Sequence[str], sound: Path | None) -> list[Path]:
    """Return the files that `--subtitles` asks for: formats, written beside the sound, or file
    names. Raises `typer.BadParameter`.
    """
    if values and sound is None:
        raise typer.BadParameter("subtitles belong to a file: give -o, too", param_hint=_HINT)
    paths: list[Path] = []
    for item in _split_items(values):
        if item.lower() in SUBTITLE_FORMATS:
            if sound is None or sound == STDOUT:
                raise typer.BadParameter(
                    f"give a file name: standard output has none ({item})", param_hint=_HINT
                )
            paths.append(sound.with_name(f"{sound.stem}.{item.lower()}"))
        elif Path(item).suffix.lower().removeprefix(".") in SUBTITLE_FORMATS:
            paths.append(Path(item))
        else:
            message = f"expected {_KNOWN}, or a file name that ends in one of them, not {item!r}"
            raise typer.BadParameter(message, param_hint=_HINT)
    return list(dict.fromkeys(paths))


def parse_subtitle_formats(values: Sequence[str]) -> tuple[str, ...]:
    """Return the formats that `--subtitles` asks for. Raises `typer.BadParameter`."""
    formats = [item.lower().removeprefix(".") for item in _split_items(values)]
    for format_ in formats:
        if format_ not in SUBTITLE_FORMATS:
            raise typer.BadParameter(f"expected {_KNOWN}, not {format_!r}", param_hint=_HINT)
    return tuple(dict.fromkeys(formats))


def _split_items(values: Sequence[str]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",") if item.strip()]
