"""SSML and its relatives: what their tags ask for. Pure.

* SSML 1.1 (W3C): `break`, `sub`, `say-as`, `phoneme`, `prosody` (rate and volume), `lang`, `p`,
  `s`; the rest is silent: `voice`, `mark`, `emphasis`, `audio`, of which the content is read.
* Cartesia ("SSML Tags" of its documentation): `<speed ratio="1.5"/>`, `<volume ratio="0.5"/>` from
  there on, `<emotion value="angry"/>`, `<break time="1s"/>`, `<spell>ABC-123</spell>`. None of
  these names means something else in SSML.
* ElevenLabs (its help centre): `<break time="1.5s" />`, `<phoneme alphabet="ipa" ph="...">`.

The text of a `sub`, `say-as`, `phoneme` or `spell` is held until its closing tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from backend.text.markup.marks import Change, LanguageChange, Mark, Pause, Phoneme, SayAs, Sub
from backend.text.markup.phonetic_alphabets import to_ipa
from backend.text.markup.ssml_values import (
    clamp_rate,
    clamp_volume,
    parse_break_ms,
    parse_rate,
    parse_ratio,
    parse_volume,
)
from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, blank, remove, separate
from backend.text.markup.tags import Tag
from backend.text.reading.written_words import FILLER

_LONGEST_REGION = 300  # characters; longer ones are read as plain text
_DEEPEST = 16  # open elements of a kind; further ones do nothing


def read_ssml_tag(ahead: Ahead, state: ReaderState, tag: Tag) -> Token | None:
    """Carry out a tag; None: it asks for nothing that HTML's does not. Raises `Undecided`."""
    match tag.name:
        case "break":
            return _read_break(state, tag)
        case "sub" | "say-as" | "phoneme" | "spell":
            return _read_region(ahead, state, tag)
        case "prosody":
            return _read_prosody(ahead, state, tag)
        case "speed" | "volume":
            return _read_ratio(ahead, state, tag)
        case "lang":
            return _read_language(ahead, state, tag)
        case "p" | "s":
            return Token(FILLER * (tag.size - 1) + "\n")
    return None


def read_nested_tag(state: ReaderState, tag: Tag) -> Token:
    """A tag inside of a region: only a pause does something."""
    return _read_break(state, tag) if tag.name == "break" else remove(tag.size)


def _read_break(state: ReaderState, tag: Tag) -> Token:
    if tag.is_closing:
        return blank(tag.size)
    ms = parse_break_ms(tag.get("time"), tag.get("strength"))
    start, end = _span(state, tag)
    return Token(" " * tag.size, (Pause(start, end, ms),) if ms else ())


def _read_region(ahead: Ahead, state: ReaderState, tag: Tag) -> Token | None:
    create_mark = _find_region_mark(tag)
    if tag.is_closing or tag.is_empty or create_mark is None:
        return None
    content = ahead.text[ahead.at + tag.size :][: _LONGEST_REGION + len(tag.name) + 12]
    closing = _compile_closing(tag.name).search(content)
    if closing is None and len(content) < _LONGEST_REGION and not ahead.final:
        raise Undecided
    if closing is None or closing.start() > _LONGEST_REGION:
        return remove(tag.size)
    start = state.offset + tag.size
    state.region_end = start + closing.start()
    marks = (create_mark(start, state.region_end),) if closing.start() else ()
    return Token((" " if state.last.isalnum() else FILLER) * tag.size, marks)


def _find_region_mark(tag: Tag) -> Callable[[int, int], Mark] | None:
    if tag.name == "sub" and "alias" in tag.attributes:
        return lambda start, end: Sub(start, end, tag.get("alias"))
    if tag.name == "spell":
        return lambda start, end: SayAs(start, end, "characters")
    if tag.name == "say-as" and (interpret_as := tag.get("interpret-as").lower()):
        form = tag.get("format").lower()
        return lambda start, end: SayAs(start, end, interpret_as, form)
    if tag.name == "phoneme" and (ipa := to_ipa(tag.get("alphabet"), tag.get("ph"))):
        return lambda start, end: Phoneme(start, end, ipa)
    return None


@lru_cache(8)
def _compile_closing(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}\s{{0,9}}>", re.IGNORECASE)


def _read_prosody(ahead: Ahead, state: ReaderState, tag: Tag) -> Token:
    mask, opened = separate(ahead, state, tag.size).mask, state.prosody
    rate, volume = opened[-1]
    if tag.is_closing:
        state.prosody = opened[:-1] or opened
    elif not tag.is_empty and len(opened) < _DEEPEST:
        rate = parse_rate(tag.get("rate"), rate)
        volume = parse_volume(tag.get("volume"), volume)
        state.prosody = (*opened, (rate, volume))
    return Token(mask, _find_change(state, tag, opened))


def _read_ratio(ahead: Ahead, state: ReaderState, tag: Tag) -> Token:
    """Cartesia's: it holds until it is changed, or the enclosing `prosody` ends."""
    mask, opened = separate(ahead, state, tag.size).mask, state.prosody
    rate, volume = opened[-1]
    if (ratio := parse_ratio(tag.get("ratio"))) is not None:
        if tag.name == "speed":
            rate = clamp_rate(ratio)
        else:
            volume = clamp_volume(ratio)
        state.prosody = (*opened[:-1], (rate, volume))
    return Token(mask, _find_change(state, tag, opened))


def _find_change(
    state: ReaderState, tag: Tag, before: tuple[tuple[float, float], ...]
) -> tuple[Mark, ...]:
    changes = state.prosody[-1] != before[-1]
    return (Change(*_span(state, tag), *state.prosody[-1]),) if changes else ()


def _read_language(ahead: Ahead, state: ReaderState, tag: Tag) -> Token:
    mask, opened = separate(ahead, state, tag.size).mask, state.languages
    if tag.is_closing:
        state.languages = opened[:-1] or opened
    elif not tag.is_empty and len(opened) < _DEEPEST:
        state.languages = (*opened, tag.get("xml:lang") or opened[-1])
    language = state.languages[-1]
    if language == opened[-1]:
        return Token(mask)
    return Token(mask, (LanguageChange(*_span(state, tag), language),))


def _span(state: ReaderState, tag: Tag) -> tuple[int, int]:
    return state.offset, state.offset + tag.size
