"""Writes subtitles beside a sound file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from duplex_tts.events import Word
from duplex_tts.playback.file_target import FileTarget, SinkFailed
from duplex_tts.subtitles.cues import group_cues
from duplex_tts.subtitles.formats import format_json, format_srt, format_vtt
from duplex_tts.subtitles.shown_words import split_shown_words


class SubtitleFiles:
    """The subtitle files of one sound; their suffixes are their formats.

    `write` them before the sound is complete, so that a full disk fails early; `complete` them
    after it, so that they never stand beside an older sound.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._targets = {path: FileTarget(path) for path in paths}

    def check_writable(self) -> None:
        """Raise `SinkFailed` if one cannot be written."""
        for target in self._targets.values():
            target.check_writable()

    def write(self, text: str, words: Sequence[Word], audio_ms: float) -> None:
        """Write all to temporary paths. Raises `SinkFailed`."""
        if not self._targets:
            return
        cues = group_cues(split_shown_words(text, words), audio_ms)
        for path, target in self._targets.items():
            match path.suffix.lower():
                case ".srt":
                    content = format_srt(cues)
                case ".vtt":
                    content = format_vtt(cues)
                case _:
                    content = format_json(text, words, audio_ms)
            try:
                target.write_path.write_bytes(content.encode(errors="replace"))
            except OSError as error:
                raise SinkFailed(f"{path}: {error.strerror or error}") from error

    def remove_former(self) -> None:
        """Delete files of an earlier sound, which is about to be replaced."""
        for path in self._targets:
            if path.is_file():
                path.unlink()

    def complete(self) -> None:
        """Rename all to their paths. Raises `SinkFailed`."""
        for target in self._targets.values():
            target.complete()

    def abandon(self) -> None:
        """Delete what was written to temporary paths; no effect after `complete`."""
        for target in self._targets.values():
            target.abandon(keep=False)
