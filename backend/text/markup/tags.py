"""Finds tags, their names and attributes. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from backend.text.markup.state import Ahead, Undecided

_LONGEST = 400  # characters; longer tags are text
_NAME = r"[A-Za-z][\w:.-]{0,40}"
_ATTRIBUTES = r"(?:[^<>\"']|\"[^\"]*\"|'[^']*')*"
_TAG = re.compile(rf"<(/?)({_NAME})([\s/]{_ATTRIBUTES})?>")
_OPEN_TAG = re.compile(
    rf"<(?:/?{_NAME}(?:[\s/]{_ATTRIBUTES}(?:\"[^\"]*|'[^']*)?)?|/)?\Z", re.DOTALL
)
_ATTRIBUTE = re.compile(r"([\w:.-]{1,40})\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'/>]+))")

SILENT = frozenset(("script", "style", "desc", "metadata", "think", "thinking", "thought"))
SILENT |= {"reasoning", "reflection", "scratchpad"}
"""Elements that are not read at all: what a program or a model says to itself."""

BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "center", "dd", "details"),
        *("dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "li", "main"),
        *("nav", "ol", "optgroup", "option", "p", "pre", "section", "speak", "summary", "table"),
        *("tbody", "tfoot", "thead", "title", "tr", "ul"),
    )
)
"""Elements that begin and end a line."""

INLINE = frozenset(
    (
        *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn"),
        *("em", "emphasis", "font", "i", "ins", "kbd", "label", "mark", "nobr", "q", "rp", "rt"),
        *("ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u"),
        *("var", "wbr"),
    )
)
"""Elements that may be inside a word."""

_MAY_BE_BARE = BLOCKS | {"audio", "button", "input", "script", "select", "textarea", "video"}
"""Elements with attributes that have no value."""

_TYPES = frozenset(
    (
        *("bool", "boolean", "char", "double", "float", "int", "long", "number", "object"),
        *("str", "string", "t", "void"),
    )
)


@dataclass(frozen=True, slots=True)
class Tag:
    """`name` is lower case. `size`: in characters."""

    name: str
    is_closing: bool
    is_empty: bool
    size: int
    attributes: Mapping[str, str]

    def get(self, name: str) -> str:
        """The attribute's value, without spaces around it; "" if it is missing."""
        return self.attributes.get(name, "").strip()


def find_tag(ahead: Ahead) -> Tag | None:
    """The tag that begins here; None: this is text. Raises `Undecided`."""
    part = ahead.text[ahead.at : ahead.at + _LONGEST]
    if found := _TAG.match(part):
        return _create_tag(found)
    if len(part) < _LONGEST and not ahead.final and _OPEN_TAG.match(part):
        raise Undecided
    return None


def _create_tag(found: re.Match[str]) -> Tag:
    rest = found[3] or ""
    values = {
        name.lower(): html.unescape(double or single or bare)
        for name, double, single, bare in _ATTRIBUTE.findall(rest)
    }
    is_empty = rest.rstrip().endswith("/")
    return Tag(found[2].lower(), found[1] == "/", is_empty, len(found[0]), values)


def is_generic_type(ahead: Ahead, tag: Tag, last: str) -> bool:
    """Whether it is the type in `List<String>`, or no tag at all: `x<y and y>z`."""
    if tag.is_closing or tag.is_empty or tag.attributes or not last.isalnum():
        return False
    if tag.size > len(tag.name) + 3 and tag.name not in _MAY_BE_BARE:
        return True
    name = ahead.text[ahead.at + 1 : ahead.at + 1 + len(tag.name)]
    is_known = tag.name in BLOCKS | INLINE | SILENT
    return name in _TYPES or (name[0].isupper() and not is_known)
