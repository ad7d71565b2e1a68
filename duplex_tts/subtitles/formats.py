"""The formats of subtitle files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from duplex_tts.events import Word
from duplex_tts.subtitles.cues import Cue

SUBTITLE_FORMATS = ("srt", "vtt", "json")

# SRT has no escapes: an invisible character keeps text from being taken for markup.
_WORD_JOINER = "\u2060"
_SRT_MARKUP = re.compile(r"<(?=[/\w])|\{(?=[\\\w])|--(?=>)")


def format_srt(cues: Sequence[Cue]) -> str:
    """Subtitles as SubRip (SRT)."""
    blocks = []
    for number, cue in enumerate(cues, 1):
        times = f"{_format_time(cue.start_ms, ',')} --> {_format_time(cue.end_ms, ',')}"
        text = "\n".join(_SRT_MARKUP.sub(rf"\g<0>{_WORD_JOINER}", line) for line in cue.lines)
        blocks.append(f"{number}\n{times}\n{text}\n")
    return "\n".join(blocks)


def format_vtt(cues: Sequence[Cue]) -> str:
    """Subtitles as WebVTT."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        times = f"{_format_time(cue.start_ms, '.')} --> {_format_time(cue.end_ms, '.')}"
        blocks.append("\n".join([times, *map(_escape_vtt, cue.lines), ""]))
    return "\n".join(blocks)


def format_json(text: str, words: Sequence[Word], audio_ms: float) -> str:
    """The text and its words: `word` is `text[from:to]`, in code points; times in milliseconds."""
    described = {
        "text": text,
        "audio_ms": round(audio_ms),
        "words": [
            {
                "word": text[word.start : word.end],
                "from": word.start,
                "to": word.end,
                "start_ms": round(word.start_ms),
                "end_ms": round(word.end_ms),
            }
            for word in words
        ],
    }
    return json.dumps(described, ensure_ascii=False, indent=1) + "\n"


def _escape_vtt(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _format_time(ms: int, point: str) -> str:
    """`00:01:02,345`."""
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
