"""Subtitles and word times of speech: SRT, WebVTT and JSON."""

from duplex_tts.subtitles.cues import Cue, group_cues
from duplex_tts.subtitles.files import SubtitleFiles
from duplex_tts.subtitles.formats import SUBTITLE_FORMATS, format_json, format_srt, format_vtt
from duplex_tts.subtitles.shown_words import ShownWord, split_shown_words

__all__ = [
    "SUBTITLE_FORMATS",
    "Cue",
    "ShownWord",
    "SubtitleFiles",
    "format_json",
    "format_srt",
    "format_vtt",
    "group_cues",
    "split_shown_words",
]
