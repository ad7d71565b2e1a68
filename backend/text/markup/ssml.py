"""SSML (later)."""

from backend.text.markup.state import Ahead, ReaderState, Token
from backend.text.markup.tags import Tag


def read_ssml_tag(ahead: Ahead, state: ReaderState, tag: Tag) -> Token | None:
    """None: not SSML."""
    return None
