"""The masked text of a whole text. Pure."""

from __future__ import annotations

from backend.text.markup.reader import MarkupOptions, MarkupReader


def mask_text(raw: str, *, ssml: bool = False) -> str:
    """`raw` with markup and invisible characters replaced, at equal length."""
    reader = MarkupReader(MarkupOptions(ssml=ssml))
    return reader.push_text(raw) + reader.end_text()
