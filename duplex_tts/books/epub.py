"""Reads an EPUB: chapters by its table of contents, or by its documents and headings.

Read by the standard library and defusedxml.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duplex_tts.books.archive import Archive
from duplex_tts.books.book import MOST_COVER_BYTES, Book, BookFailed, Chapter
from duplex_tts.books.epub_contents import ContentsEntry, read_contents
from duplex_tts.books.epub_package import Package, read_package, resolve
from duplex_tts.books.html_text import HtmlText, extract_text
from duplex_tts.books.left_out import is_imprint, kind_left_out, mark_left_out

_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})""")
_MOST_LINKED = 0.6  # of a text; a page with more is a list of links
_UNTITLED = "Untitled"
_LONGEST_TITLE_PAGE = 300
_TITLE_PAGE_WORDS = frozenset({"a", "by", "von", "par", "por", "di", "novel", "roman", "novela"})


@dataclass(frozen=True, slots=True)
class _Document:
    path: str
    html: HtmlText
    left_out: str


@dataclass(slots=True)
class _Cut:
    """Where a chapter begins: in which document, and at which text offset."""

    document: int
    offset: int
    title: str
    left_out: str = ""


def read_epub(path: Path) -> Book:
    """Read an EPUB. Raises `BookFailed`."""
    with Archive(path) as archive:
        package = read_package(archive)
        documents = _read_documents(archive, package)
        entries = read_contents(archive, package)
        cover = _read_cover(archive, _cover_path(package, documents))
    if not documents:
        raise BookFailed("bad_book", f"{path}: the EPUB has no documents")
    chapters = _cut_chapters(documents, _find_cuts(documents, entries))
    metadata = package.metadata
    front = _words(" ".join([*metadata.get("title", []), *metadata.get("creator", [])]))
    chapters = [_mark_title_page(chapter, front) for chapter in chapters]
    date = re.search(r"\d{4}", " ".join(metadata.get("date", [])))
    return Book(
        title=metadata.get("title", [path.stem])[0],
        chapters=tuple(mark_left_out(chapter) for chapter in chapters),
        author=", ".join(dict.fromkeys(metadata.get("creator", []))),
        language=metadata.get("language", [""])[0],
        year=date[0] if date else "",
        description=extract_text(metadata.get("description", [""])[0]).text.strip(),
        cover=cover,
    )


def _read_documents(archive: Archive, package: Package) -> list[_Document]:
    documents = []
    for path, left_out in package.spine:
        content = archive.read(path)
        if content is None:
            continue
        html = extract_text(_decode(content))
        left_out = left_out or kind_left_out(html.types)
        if not left_out and is_imprint(html.text):
            left_out = "copyright"
        elif not left_out and html.linked > _MOST_LINKED * len(html.text):
            left_out = "contents"
        documents.append(_Document(path, html, left_out))
    return documents


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    declared = _XML_ENCODING.match(content)
    try:
        return content.decode(declared[1].decode() if declared else "utf-8-sig", errors="replace")
    except (LookupError, UnicodeError):
        return content.decode("utf-8-sig", errors="replace")


def _read_cover(archive: Archive, path: str) -> bytes | None:
    """The image; None if there is none, or it is damaged or too large: a book needs no cover."""
    info = archive.find(path)
    if info is None or info.file_size > MOST_COVER_BYTES:
        return None
    try:
        return archive.read(path)
    except BookFailed:
        return None


def _cover_path(package: Package, documents: Sequence[_Document]) -> str:
    """The path of the cover's image: the package's, or the picture on the cover page."""
    if package.cover:
        return package.cover
    for document in documents[:3]:
        if document.html.images and not document.html.text.strip():
            return resolve(document.path, document.html.images[0])
    return ""


def _mark_title_page(chapter: Chapter, front: set[str]) -> Chapter:
    """Leave a page out that says no more than the book's title and author (`front`)."""
    if not chapter.left_out and len(chapter.text) < _LONGEST_TITLE_PAGE:
        words = _words(chapter.text)
        if words & front and words <= front | _TITLE_PAGE_WORDS:
            return replace(chapter, left_out="title page")
    return chapter


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


# --- where chapters begin -------------------------------------------------------------------------


def _find_cuts(documents: Sequence[_Document], entries: Sequence[ContentsEntry]) -> list[_Cut]:
    """The beginnings of the chapters in reading order, the first at the beginning of the book."""
    numbers = {document.path: number for number, document in enumerate(documents)}
    cuts = []
    for entry in entries:
        if (number := numbers.get(entry.path)) is not None:
            offset = documents[number].html.anchors.get(entry.anchor, 0)
            cuts.append(_Cut(number, offset, entry.title))
    if not cuts:
        return [
            cut
            for number, document in enumerate(documents)
            for cut in _cut_by_headings(number, document)
        ]
    cuts = _merge_cuts(sorted(cuts, key=lambda cut: (cut.document, cut.offset)), documents)
    first = cuts[0].document
    begun = {cut.document for cut in cuts if cut.offset == 0}
    for number, document in enumerate(documents):
        # Before the first chapter, each document is a chapter of its own. So are those that are
        # left out, and what follows them.
        own = number < first or document.left_out or (number and documents[number - 1].left_out)
        if number not in begun and (own or number == 0):
            cuts.append(_Cut(number, 0, _document_title(document), document.left_out))
    for cut in cuts:
        cut.left_out = cut.left_out or documents[cut.document].left_out
    return sorted(cuts, key=lambda cut: (cut.document, cut.offset))


def _merge_cuts(cuts: Sequence[_Cut], documents: Sequence[_Document]) -> list[_Cut]:
    """Join the titles of chapters that begin at the same place, such as a part's first chapter."""
    merged: list[_Cut] = []
    for cut in cuts:
        text = documents[cut.document].html.text
        last = merged[-1] if merged else None
        if last and last.document == cut.document and not text[last.offset : cut.offset].strip():
            if cut.title not in last.title:
                last.title = f"{last.title}: {cut.title}"
        else:
            if not text[: cut.offset].strip():
                cut.offset = 0
            merged.append(cut)
    return merged


def _cut_by_headings(number: int, document: _Document) -> list[_Cut]:
    """Chapters of a document without a table of contents: by its headings of the top level."""
    headings = document.html.headings
    top = min((heading.level for heading in headings), default=0)
    tops = [heading for heading in headings if heading.level == top]
    if len(tops) < 2 or document.left_out:
        return [_Cut(number, 0, _document_title(document), document.left_out)]
    cuts = [_Cut(number, heading.offset, heading.text) for heading in tops]
    if document.html.text[: cuts[0].offset].strip():
        return [_Cut(number, 0, _document_title(document)), *cuts]
    cuts[0].offset = 0
    return cuts


def _document_title(document: _Document) -> str:
    if document.left_out:
        return document.left_out.capitalize()
    headings = document.html.headings
    return headings[0].text if headings else document.html.title or _UNTITLED


def _cut_chapters(documents: Sequence[_Document], cuts: Sequence[_Cut]) -> list[Chapter]:
    ends = [*cuts[1:], _Cut(len(documents), 0, "")]
    return [
        Chapter(cut.title, _text_between(documents, cut, end), cut.left_out)
        for cut, end in zip(cuts, ends, strict=True)
    ]


def _text_between(documents: Sequence[_Document], cut: _Cut, end: _Cut) -> str:
    if cut.document == end.document:
        return documents[cut.document].html.text[cut.offset : end.offset].strip()
    parts = [documents[cut.document].html.text[cut.offset :]]
    parts += [document.html.text for document in documents[cut.document + 1 : end.document]]
    if end.document < len(documents):
        parts.append(documents[end.document].html.text[: end.offset])
    return "".join(parts).strip()
