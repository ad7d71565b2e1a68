"""HTML: tags are silent, entities are the characters they stand for. Pure.

A tag begins with "<" and a letter, "/", "!" or "?"; `a < b`, `<3` and `<5%` are text.
"""

from __future__ import annotations

import re
from html.entities import html5

from backend.text.markup.characters import find_plain_form, read_grouping_space
from backend.text.markup.silent import COMMENT
from backend.text.markup.ssml import read_nested_tag, read_ssml_tag
from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, blank, remove, separate
from backend.text.markup.tags import BLOCKS, INLINE, SILENT, Tag, find_tag, is_generic_type
from backend.text.reading.written_words import FILLER

_ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
_OPEN_ENTITY = re.compile(r"&(?:#(?:\d{0,7}|[xX][0-9a-fA-F]{0,6})|[A-Za-z][A-Za-z0-9]{0,31})?\Z")
_DECLARATION = re.compile(r"<(?:![A-Za-z][^<>]{0,200}>|\?[A-Za-z][^<>]{0,200}\?>)")
_OPEN_DECLARATION = re.compile(r"<[!?](?:[A-Za-z][^<>]{0,200})?\Z")
_ADDRESS = re.compile(
    r"<(?:[a-z][a-z0-9+.-]{1,30}:/|(?:mailto|tel):|[\w.+-]{1,64}@|(?!\d+\.\d)[\w/-]{1,64}\.\w)",
    re.IGNORECASE,
)
_OPEN_ADDRESS = re.compile(r"<[\w./+-]{1,64}(?::/?)?\Z")
_TOKEN_NAME = re.compile(r"<\|\w{1,40}\|>")
_OPEN_TOKEN_NAME = re.compile(r"<\|(?:\w{1,40}\|?)?\Z")
_LARGEST_CODE = 0x10FFFF


def read_less(ahead: Ahead, state: ReaderState) -> Token | None:
    """A tag, a comment, an address or file in angle brackets; None: this is text."""
    after = ahead.peek()
    if state.is_in_region:
        tag = find_tag(ahead) if after.isascii() else None
        return read_nested_tag(state, tag) if tag else None
    if after == "|":
        return _read_token_name(ahead)
    if after in ("!", "?"):
        return _read_declaration(ahead, state)
    if not (after.isascii() and (after.isalnum() or after == "/")):
        return None
    if state.code_is_open:
        state.address_is_open = True
        return remove()
    if address := _read_address(ahead, state):
        return address
    return None if after.isdigit() else _read_tag(ahead, state)


def _read_address(ahead: Ahead, state: ReaderState) -> Token | None:
    if _ADDRESS.match(ahead.text, ahead.at):
        state.address_is_open = True
        return remove()
    if not ahead.final and _OPEN_ADDRESS.match(ahead.text, ahead.at):
        raise Undecided
    return None


def _read_token_name(ahead: Ahead) -> Token | None:
    """A token of a language model that should not be in its text: `<|im_end|>`."""
    if found := _TOKEN_NAME.match(ahead.text, ahead.at):
        return blank(len(found[0]))
    if not ahead.final and _OPEN_TOKEN_NAME.match(ahead.text, ahead.at):
        raise Undecided
    return None


def _read_declaration(ahead: Ahead, state: ReaderState) -> Token | None:
    if ahead.peek() == "!" and ahead.peek(2) == "-":
        if ahead.peek(3) != "-":
            return None
        state.silent = COMMENT
        return blank(4)
    if found := _DECLARATION.match(ahead.text, ahead.at):
        return blank(len(found[0]))
    if not ahead.final and _OPEN_DECLARATION.match(ahead.text, ahead.at):
        raise Undecided
    return None


def _read_tag(ahead: Ahead, state: ReaderState) -> Token | None:
    tag = find_tag(ahead)
    if tag is None or is_generic_type(ahead, tag, state.last):
        return None
    if tag.name == "speak" and not tag.is_closing and state.is_at_start:
        state.ssml = True
    may_act = state.ssml or tag.name == "spell"  # no HTML
    if may_act and (token := read_ssml_tag(ahead, state, tag)) is not None:
        return token
    return _read_html_tag(ahead, state, tag)


def _read_html_tag(ahead: Ahead, state: ReaderState, tag: Tag) -> Token:
    if tag.name in SILENT:
        if not tag.is_closing and not tag.is_empty:
            state.silent = tag.name
        return blank(tag.size)
    if tag.name in BLOCKS:
        return Token(FILLER * (tag.size - 1) + "\n")
    if tag.name == "sup":
        state.superscript = not tag.is_closing and not tag.is_empty
    return remove(tag.size) if tag.name in INLINE else separate(ahead, state, tag.size)


def read_ampersand(ahead: Ahead, state: ReaderState) -> Token | None:
    """An entity; None: `AT&T`, `a & b`, `a&b;`."""
    if found := _ENTITY.match(ahead.text, ahead.at):
        decoded = _decode_entity(found)
        return _mask_decoded(ahead, state, decoded, len(found[0])) if decoded else None
    if not ahead.final and _OPEN_ENTITY.match(ahead.text, ahead.at):
        raise Undecided
    return None


def _decode_entity(found: re.Match[str]) -> str:
    if found[3]:
        return html5.get(found[3] + ";", "")
    code = int(found[1]) if found[1] else int(found[2], 16)
    if not 0 < code <= _LARGEST_CODE or 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return chr(code)


def _mask_decoded(ahead: Ahead, state: ReaderState, decoded: str, size: int) -> Token:
    if decoded == "\xa0":
        return Token(read_grouping_space(ahead, state, size).ljust(size, FILLER))
    plain = "".join(find_plain_form(character) for character in decoded)
    return Token(plain.ljust(size, FILLER))
