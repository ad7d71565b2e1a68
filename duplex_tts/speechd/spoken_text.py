"""What is said for a message of a screen reader: characters, keys, punctuation, and index marks.

Synchronous, no I/O. The daemon replaces most symbols by their names before the module sees them
(its setting `SymbolsPreproc`); the names here are for what it leaves.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

from duplex_tts.speechd.module_protocol import Message
from duplex_tts.speechd.voice_settings import Punctuation, VoiceSettings

_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")
_MARK = re.compile(r"""<mark\s[^<>]*?name\s*=\s*(?:"([^"<>]*)"|'([^'<>]*)')[^<>]*>""")
_DROPPED = re.compile(r"</?(speak|mark)\b[^<>]*>|<[?!][^<>]*>")
NAMES = {
    " ": "space", "\t": "tab", "\n": "new line", "\xa0": "no-break space",
    "!": "exclamation mark", '"': "quote", "#": "hash", "$": "dollar", "%": "percent",
    "&": "ampersand", "'": "apostrophe", "(": "left paren", ")": "right paren", "*": "star",
    "+": "plus", ",": "comma", "-": "dash", ".": "dot", "/": "slash", ":": "colon",
    ";": "semicolon", "<": "less than", "=": "equals", ">": "greater than",
    "?": "question mark", "@": "at", "[": "left bracket", "\\": "backslash",
    "]": "right bracket", "^": "caret", "_": "underscore", "`": "backtick",
    "{": "left brace", "|": "bar", "}": "right brace", "~": "tilde",
}  # fmt: skip
_SPOKEN_IN: dict[Punctuation, frozenset[str]] = {
    "none": frozenset(),
    "some": frozenset("#$%&*+/<=>@\\^_`|~"),
    "most": frozenset('#$%&*+/<=>@\\^_`|~()[]{}"-:'),
    "all": frozenset(name for name in NAMES if not name.isspace()),
}
_KEYS = {
    "kp": "keypad",
    "esc": "escape",
    "ctrl": "control",
    "prior": "page up",
    "next": "page down",
}


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text for the server. `marks`: index marks by their offsets in it, in order."""

    text: str
    ssml: bool = False
    marks: tuple[tuple[int, str], ...] = ()


def spoken_text(message: Message, settings: VoiceSettings) -> SpokenText:
    """What is said for a message; the text is empty if nothing is."""
    match message.kind:
        case "char":
            return SpokenText(_name_character(message.text, settings))
        case "key":
            return SpokenText(_name_key(message.text, settings))
        case "sound_icon":
            return SpokenText(message.text.replace("-", " ").replace("_", " "))
        case "text":
            return _read_markup(message.text, settings)


def _name_character(text: str, settings: VoiceSettings) -> str:
    if len(text) != 1:
        return text  # a character with combining marks, or a name that the daemon chose
    if text in NAMES:
        return NAMES[text]
    if text.isalpha() and text.upper() != text.lower():
        name = text.upper()
        return f"capital {name}" if settings.announce_capitals and text.isupper() else name
    if text.isalnum():
        return text
    return unicodedata.name(text, text).lower()


def _name_key(text: str, settings: VoiceSettings) -> str:
    """The name of a key such as `shift_a`, `Control_Alt_Delete`, `underscore` or `KP_5`."""
    if text == "_":
        return NAMES[text]
    parts = [part for part in text.split("_") if part]
    names = (
        _name_character(part, settings) if len(part) == 1 else _KEYS.get(part.lower(), part)
        for part in parts
    )
    return " ".join(names) or NAMES.get(text, text)


def _read_markup(text: str, settings: VoiceSettings) -> SpokenText:
    """Take the index marks out, and `speak`; other tags are left to the server."""
    tags = [tag.group() for tag in _TAG.finditer(text)]
    ssml = any(not _DROPPED.fullmatch(tag) for tag in tags)
    parts: list[str] = []
    marks: list[tuple[int, str]] = []
    length = done = 0
    for tag in _TAG.finditer(text):
        kept = _read_characters(text[done : tag.start()], settings, ssml=ssml)
        kept += "" if _DROPPED.fullmatch(tag.group()) else tag.group()
        parts.append(kept)
        length += len(kept)
        done = tag.end()
        if mark := _MARK.fullmatch(tag.group()):
            marks.append((length, html.unescape(mark.group(1) or mark.group(2) or "")))
    parts.append(_read_characters(text[done:], settings, ssml=ssml))
    return SpokenText("".join(parts), ssml, tuple(marks))


def _read_characters(text: str, settings: VoiceSettings, *, ssml: bool) -> str:
    """Text between tags, with the punctuation that is to be heard by name."""
    plain = html.unescape(text)
    if settings.spell:
        plain = ", ".join(_name_character(each, settings) for each in plain if not each.isspace())
    else:
        named = _SPOKEN_IN[settings.punctuation]
        plain = "".join(
            f" {NAMES[each]}{_pause(each)} " if each in named else each for each in plain
        )
    return html.escape(plain, quote=False) if ssml else plain


def _pause(mark: str) -> str:
    """The mark itself where it also ends a phrase."""
    return mark if mark in ".,;:!?" else ""
