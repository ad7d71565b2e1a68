"""Writes lists of words as text. Pure."""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of `text`, which are separated by spaces and newlines."""
    return frozenset(text.split())
