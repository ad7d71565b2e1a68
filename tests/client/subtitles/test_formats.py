import io
import json

import av
import pytest

from duplex_tts.events import Word
from duplex_tts.subtitles import Cue, format_json, format_srt, format_vtt

CUES = [
    Cue(15, 1_500, ("a < b --> c", "R&D <b>bold</b> {\\an8}")),
    Cue(3_600_000, 3_661_007, ("مرحبا 看",)),
]


def test_srt_has_numbers_times_and_lines() -> None:
    assert format_srt([CUES[1]]) == "1\n01:00:00,000 --> 01:01:01,007\nمرحبا 看\n"


def test_srt_text_is_not_taken_for_markup_or_times() -> None:
    text = format_srt(CUES)
    assert text.count("-->") == 2
    assert "<b>" not in text
    assert "{\\" not in text
    assert text.replace("\u2060", "").count("a < b --> c\nR&D <b>bold</b> {\\an8}\n") == 1


def test_vtt_escapes_markup() -> None:
    text = format_vtt(CUES)
    assert text.startswith("WEBVTT\n\n00:00:00.015 --> 00:00:01.500\n")
    assert "a &lt; b --&gt; c\nR&amp;D &lt;b&gt;bold&lt;/b&gt; {\\an8}\n\n01:00:00.000" in text


@pytest.mark.parametrize(("format_", "content"), [("srt", format_srt), ("webvtt", format_vtt)])
def test_ffmpeg_reads_the_cues_and_times(format_: str, content: object) -> None:
    assert callable(content)
    with av.open(io.BytesIO(content(CUES).encode()), "r", format=format_) as file:
        packets = [packet for packet in file.demux() if packet.size]
        times = [(p.pts or 0, (p.pts or 0) + (p.duration or 0)) for p in packets]
    assert times == [(15, 1_500), (3_600_000, 3_661_007)]


def test_json_has_written_words_times_and_offsets() -> None:
    text = "It costs $3.50 🙂 now"
    words = [Word(9, 14, 400.04, 900.6), Word(17, 20, 950, 1_200)]
    described = json.loads(format_json(text, words, 1_300.2))
    assert (described["text"], described["audio_ms"]) == (text, 1_300)
    assert described["words"][0] == {
        "word": "$3.50",
        "from": 9,
        "to": 14,
        "start_ms": 400,
        "end_ms": 901,
    }
    assert [text[word["from"] : word["to"]] for word in described["words"]] == ["$3.50", "now"]
