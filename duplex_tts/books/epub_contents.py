"""The table of contents of an EPUB: `nav` of EPUB 3, or the NCX of EPUB 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from xml.etree.ElementTree import Element

from duplex_tts.books.archive import Archive
from duplex_tts.books.book import BookFailed
from duplex_tts.books.epub_package import (
    Package,
    local_name,
    parse_xml,
    resolve,
    split_href,
)
from duplex_tts.books.html_text import make_readable

DEEPEST = 3
"""Deeper entries are sections of chapters."""


@dataclass(frozen=True, slots=True)
class ContentsEntry:
    """An entry: its title, the document that it names, and an anchor in that, or ""."""

    title: str
    path: str
    anchor: str


def read_contents(archive: Archive, package: Package) -> list[ContentsEntry]:
    """Return the entries in order, those of all levels down to `DEEPEST`; empty without any."""
    entries: list[ContentsEntry] = []
    if (item := package.item_with("nav")) and (content := archive.read(item.path)):
        parser = _NavParser(item.path)
        parser.feed(make_readable(content.decode(errors="replace")))
        entries = parser.entries
    if not entries and package.contents:
        try:
            root = parse_xml(archive, package.contents)
        except BookFailed:
            return []  # the chapters are then found otherwise
        maps = (element for element in root if local_name(element) == "navMap")
        entries = [entry for each in maps for entry in _ncx_entries(each, package.contents, 1)]
    return entries


def _create_entry(base: str, title: str, href: str) -> ContentsEntry:
    _, anchor = split_href(href)
    return ContentsEntry(" ".join(title.split()), resolve(base, href), anchor)


def _ncx_entries(parent: Element, base: str, depth: int) -> Iterator[ContentsEntry]:
    for element in parent:
        if local_name(element) == "navPoint" and depth <= DEEPEST:
            title, href = "", ""
            for child in element:
                if local_name(child) == "navLabel":
                    title = " ".join(child.itertext())
                elif local_name(child) == "content":
                    href = child.get("src", "")
            if title.strip() and href:
                yield _create_entry(base, title, href)
            yield from _ncx_entries(element, base, depth + 1)


class _NavParser(HTMLParser):
    """Collects the links of `<nav epub:type="toc">`."""

    def __init__(self, path: str) -> None:
        super().__init__(convert_charrefs=True)
        self.entries: list[ContentsEntry] = []
        self._path = path
        self._depth = 0  # of lists in the right `nav`
        self._inside = False
        self._href: str | None = None
        self._title: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "nav":
            types = f"{attributes.get('epub:type', '')} {attributes.get('role', '')}".split()
            self._inside = not types or "toc" in types or "doc-toc" in types
        elif tag == "ol":
            self._depth += 1
        elif tag == "a" and self._inside and self._depth <= DEEPEST:
            self._href, self._title = attributes.get("href"), []

    def handle_data(self, data: str) -> None:
        if self._href is not None:
            self._title.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "nav":
            self._inside = False
        elif tag == "ol":
            self._depth -= 1
        elif tag == "a" and self._href is not None:
            title = "".join(self._title)
            if title.strip():
                self.entries.append(_create_entry(self._path, title, self._href))
            self._href = None
