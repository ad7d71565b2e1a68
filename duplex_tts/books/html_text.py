"""The text of an HTML document: paragraphs, headings and where its anchors are.

Footnotes and their marks, page numbers and hidden text are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

from duplex_tts.books.text_builder import TextBuilder

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_INLINE = frozenset(
    {
        *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn"),
        *("em", "font", "i", "img", "ins", "kbd", "mark", "q", "ruby", "rb", "s", "samp", "small"),
        *(
            "rt",
            "rp",
            "script",
            "td",
            "th",
            "span",
            "strike",
            "strong",
            "sub",
            "sup",
            "time",
            "tt",
            "u",
            "var",
            "wbr",
            "math",
        ),
    }
)
_SILENT = frozenset(
    {"audio", "iframe", "noscript", "object", "rp", "rt", "script", "style", "svg", "template"}
    | {"title", "video", "math", "nav", "select", "button"}
)
_SILENT_TYPES = frozenset(
    {"noteref", "pagebreak", "footnote", "footnotes", "endnote", "endnotes", "rearnote"}
    | {"rearnotes", "toc", "page-list", "landmarks", "backlink"}
)
_SILENT_CLASS = re.compile(
    r"(^|\s)(page-?_?(num(ber)?|no|break)|noteref|footnote-?_?ref|fnref|fn-?ref)s?(\s|$)", re.I
)
_GUTENBERG = frozenset({"pg-header", "pg-footer", "pg-machine-header"})
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_HEADING = re.compile(r"h([1-6])")
# The parser refuses some marked sections, such as `<![if x]>`, and skips the text of CDATA.
_MARKED_SECTION = re.compile(r"<!\[CDATA\[|\]\]>|<!\[[^<>]*>?")
# The parser takes quadratic time for these.
_UNCLOSED = re.compile(r"<(?=[^<>]*(?:<|\Z))")
_NOTE_MARK = re.compile(r"\s*([\[({]?\d{1,4}[\])}]?|[*†‡§¶]{1,4}|\[?[a-z]\]?)\s*")
_BEFORE_MARK = re.compile(r"[^\W\d_]{3}$|[.,;:!?\"'”’»)\]]$")

_LOOKED_AT_BEFORE = 8  # characters before a mark; of a long paragraph all would take long


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of `level` 1 to 6 at a text offset."""

    offset: int
    level: int
    text: str


@dataclass(slots=True)
class HtmlText:
    """What a document says. `anchors`: text offsets by id. `types`: those (`epub:type`, role) of
    the body and of elements at the very beginning. `linked`: characters in links.
    """

    text: str = ""
    title: str = ""
    anchors: dict[str, int] = field(default_factory=dict)
    headings: list[Heading] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    linked: int = 0


def extract_text(document: str) -> HtmlText:
    """Read an HTML or XHTML document; it need not be well-formed."""
    parser = _TextParser()
    parser.feed(make_readable(document))
    parser.close()
    return parser.finish()


def make_readable(document: str) -> str:
    """Return the document without what the parser fails at, or takes too long for."""
    return _UNCLOSED.sub("&lt;", _MARKED_SECTION.sub("", _drop_comments(document)))


def _drop_comments(document: str) -> str:
    kept, start = [], 0
    while (opened := document.find("<!--", start)) >= 0:
        closed = document.find("-->", opened)
        if closed < 0:
            break
        kept.append(document[start:opened])
        start = closed + len("-->")
    return "".join(kept) + document[start:]


@dataclass(slots=True)
class _OpenElement:
    tag: str
    silent: bool
    paragraph_length: int  # when it began
    href: str = ""


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._text = TextBuilder()
        self._result = HtmlText()
        self._open: list[_OpenElement] = []
        self._open_tags: Counter[str] = Counter()
        self._heading: tuple[int, int] | None = None  # its offset and level
        self._title: list[str] = []

    def finish(self) -> HtmlText:
        self._result.text = self._text.finish()
        self._result.title = " ".join("".join(self._title).split())
        return self._result

    # --- called by HTMLParser ---------------------------------------------------------------------

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._note_attributes(tag, attributes)
        if tag == "br" and not self._silent:
            self._text.add_line_break()
        elif tag == "img":
            self._add_image(attributes)
        elif tag in {"td", "th"} and not self._silent:
            self._text.add_comma()
        elif tag not in _INLINE and not self._silent:
            self._text.end_paragraph()
        if tag in _VOID:
            return
        if tag == "math" and not self._silent:
            self._text.add(f" {attributes.get('alttext', '')} ")
        if heading := _HEADING.fullmatch(tag):
            self._heading = (self._text.length, int(heading[1]))
        element = _OpenElement(
            tag,
            self._silent or _is_silent(tag, attributes),
            len(self._text.paragraph),
            attributes.get("href", ""),
        )
        self._open.append(element)
        self._open_tags[tag] += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID or not self._open_tags[tag]:
            return
        while (element := self._open.pop()).tag != tag:
            self._open_tags[element.tag] -= 1
        self._open_tags[tag] -= 1
        if element.silent:
            return
        if tag in {"a", "sup"}:
            self._drop_note_mark(element)
        elif tag not in _INLINE:
            self._end_block(tag)

    def handle_data(self, data: str) -> None:
        if self._open_tags["title"]:
            self._title.append(data)
        elif not self._silent:
            self._text.add(data)

    # ----------------------------------------------------------------------------------------------

    @property
    def _silent(self) -> bool:
        return bool(self._open) and self._open[-1].silent

    def _note_attributes(self, tag: str, attributes: dict[str, str]) -> None:
        for name in ("id", "name"):
            if anchor := attributes.get(name):
                self._result.anchors.setdefault(anchor, self._text.length)
        if tag == "body" or (self._text.length == 0 and tag not in _INLINE):
            types = f"{attributes.get('epub:type', '')} {attributes.get('role', '')}"
            self._result.types += types.split()

    def _add_image(self, attributes: dict[str, str]) -> None:
        self._result.images.append(attributes.get("src", ""))
        if self._heading is not None and not self._silent:  # a title may be a picture
            self._text.add(f" {attributes.get('alt', '')} ")

    def _end_block(self, tag: str) -> None:
        if self._heading is not None and tag == f"h{self._heading[1]}":
            offset, level = self._heading
            title = " ".join(self._text.paragraph.split())
            if title:
                self._result.headings.append(Heading(offset, level, title))
            self._heading = None
        self._text.end_paragraph()

    def _drop_note_mark(self, element: _OpenElement) -> None:
        """Take the content of a link or of raised text back if it is the mark of a footnote."""
        end = element.paragraph_length
        before = self._text.paragraph[max(0, end - _LOOKED_AT_BEFORE) : end]
        content = self._text.paragraph[end:]
        if not _NOTE_MARK.fullmatch(content):
            self._result.linked += len(content) if element.tag == "a" and element.href else 0
            return
        raised = element.tag == "sup" or bool(self._open_tags["sup"])
        if element.tag == "a":
            attached = bool(before) and not before[-1].isspace() and not content[:1].isspace()
            bracketed = content.strip()[0] in "[*†‡§"
            drop = "#" in element.href and (raised or attached or bracketed)
        else:
            drop = bool(_BEFORE_MARK.search(before.rstrip()))
        if drop:
            self._text.cut_paragraph(end)


def _is_silent(tag: str, attributes: dict[str, str]) -> bool:
    if tag in _SILENT or attributes.get("aria-hidden") == "true" or "hidden" in attributes:
        return True
    if attributes.get("id") in _GUTENBERG or _HIDDEN_STYLE.search(attributes.get("style", "")):
        return True
    types = f"{attributes.get('epub:type', '')} {attributes.get('role', '')}".lower().split()
    if any(type_.removeprefix("doc-") in _SILENT_TYPES for type_ in types):
        return True
    return bool(_SILENT_CLASS.search(attributes.get("class", "")))
