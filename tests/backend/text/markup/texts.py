"""Random texts that are full of marks, and how to read them in pieces."""

from __future__ import annotations

from hypothesis import strategies as st

from backend.text.markup.marks import Mark
from backend.text.markup.reader import MarkupOptions, MarkupReader
from backend.text.reading.written_words import FILLER

FRAGMENTS = (
    *"*_`#-+>[]()!~|=:<&;\\/\"'^12abxZ.é \n\t",
    *("\x00", "\u202e", "\u200d", "\u00ad", "\u0301", "\u00a0", "\ufb01", "\uff21", "\u1112"),
    *("\u1161", "\u11ab", "\u0928", "\u093c", "🙂", "👩\u200d👧", "5\ufe0f\u20e3", "क्\u200dष"),
    *("**", "```", "##", "--", "](", "~~", "  ", "\r\n", "000", "![a](b)", "[^1]", "[ ]", "- [x]"),
    *("[pause", " 500ms]", "[laugh]", "[clear ", "throat]", "&amp;", "&#", "&nbsp;", "<b>", "</b>"),
    *("<think>", "</think>", "<!--", "-->", "<script>", "</script", "<a href='", "<br/>", "<sup>"),
    *(
        "<?xml",
        "?>",
        "<|x",
        "|>",
        "<a.h>",
        "<s/t.h",
        "s\u0336",
        "<!DOCTYPE",
        "<emphasis>",
        "<custom>",
        "</custom>",
        "<p>",
        "</p>",
        "<s>",
    ),
    *("</sup>", "<https://", "<m@", "<speak>", "<sub alias='x'>", "</sub>", '<break time="1s"/>'),
    *('<say-as interpret-as="digits">', "</say-as>", '<phoneme ph="a">', "</phoneme>"),
    *('<prosody rate="fast">', "</prosody>", '<lang xml:lang="de">', "</lang>", "<spell>"),
    *("</spell>", '<speed ratio="0.8"/>', '<volume ratio="2"/>', '<emotion value="sad"/>'),
)
marked_texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=2), max_size=30).map("".join)


def read_pieces(pieces: list[str], *, ssml: bool = False) -> tuple[str, list[Mark]]:
    """The mask and the marks of a text in pieces."""
    reader = MarkupReader(MarkupOptions(ssml=ssml))
    mask = "".join(reader.push_text(piece) for piece in pieces) + reader.end_text()
    return mask, reader.marks


def said(text: str, *, ssml: bool = False) -> str:
    """The masked text without fillers; runs of spaces count as one."""
    mask = read_pieces([text], ssml=ssml)[0].replace(FILLER, "")
    return " ".join(mask.split())
