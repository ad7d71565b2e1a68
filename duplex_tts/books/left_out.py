"""What of a book is not read aloud: covers, copyright pages, tables of contents and the like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from duplex_tts.books.book import Chapter

_KINDS = {
    "cover": "cover",
    "titlepage": "title page",
    "halftitlepage": "title page",
    "halftitle": "title page",
    "title-page": "title page",
    "copyright-page": "copyright",
    "copyright": "copyright",
    "colophon": "colophon",
    "imprint": "copyright",
    "toc": "contents",
    "toc-brief": "contents",
    "landmarks": "contents",
    "loi": "list of figures",
    "lot": "list of tables",
    "loa": "list",
    "lov": "list",
    "page-list": "page list",
    "index": "index",
    "bibliography": "bibliography",
    "footnotes": "notes",
    "endnotes": "notes",
    "rearnotes": "notes",
    "notes": "notes",
}
"""What is left out, by `epub:type`, the types of the guide, and roles without `doc-`."""

_TITLES = {
    "cover": r"(front |book )?cover|einband|umschlag|couverture|cubierta|copertina",
    "title page": r"(half )?-?title ?page|half title|titelseite|page de titre|portada|frontespizio",
    "copyright": r"copyright( page| notice| information)?|imprint|impressum|credits|colophon|"
    r"legal notice|mentions légales|créditos|kolophon",
    "contents": r"(table of )?contents|toc|inhalt(sverzeichnis)?|table des matières|sommaire|"
    r"índice( general)?|tabla de contenidos|indice|spis treści|inhoud|目录|目次|содержание|"
    r"оглавление",
    "index": r"index|register|stichwortverzeichnis|sachregister",
    "bibliography": r"bibliography|works cited|literaturverzeichnis|bibliographie|bibliografía",
    "notes": r"(end|foot)?notes|anmerkungen|endnoten|fußnoten",
    "advertisement": r"also by .*|books by .*|other books by .*|about the publisher|newsletter.*|"
    r"(the )?full project gutenberg licen[cs]e",
}
_BY_TITLE = [
    (kind, re.compile(rf"\s*(?:{pattern})\s*[.:]?\s*", re.IGNORECASE))
    for kind, pattern in _TITLES.items()
]
_COPYRIGHT = re.compile(
    r"©|\(c\) ?\d{4}|copyright|all rights reserved|alle rechte vorbehalten|tous droits réservés|"
    r"todos los derechos reservados",
    re.IGNORECASE,
)
_IMPRINT = re.compile(r"\bISBN\b|all rights reserved|first published|library of congress", re.I)
_LONGEST_IMPRINT = 4_000
_GUTENBERG_START = re.compile(r"^\*\*\* ?START OF (THE|THIS) PROJECT GUTENBERG.*\*\*\*\s*$", re.M)
_GUTENBERG_END = re.compile(r"^\*\*\* ?END OF (THE|THIS) PROJECT GUTENBERG", re.M)


def kind_left_out(types: Iterable[str]) -> str:
    """Why a document of these types is not read; empty if it is."""
    for type_ in types:
        if kind := _KINDS.get(type_.lower().removeprefix("doc-")):
            return kind
    return ""


def mark_left_out(chapter: Chapter) -> Chapter:
    """Leave a chapter out if its title or its text says that it is not to be read."""
    if chapter.left_out:
        return chapter
    if not any(character.isalnum() for character in chapter.text):
        return replace(chapter, left_out="no text")
    for kind, pattern in _BY_TITLE:
        if pattern.fullmatch(chapter.title):
            return replace(chapter, left_out=kind)
    if is_imprint(chapter.text):
        return replace(chapter, left_out="copyright")
    return chapter


def is_imprint(text: str) -> bool:
    """Whether a text is a copyright page."""
    short = len(text) < _LONGEST_IMPRINT
    return short and bool(_COPYRIGHT.search(text)) and bool(_IMPRINT.search(text))


def cut_gutenberg(text: str) -> str:
    """Return a text without the header and the licence of Project Gutenberg."""
    if start := _GUTENBERG_START.search(text):
        text = text[start.end() :]
    if end := _GUTENBERG_END.search(text):
        text = text[: end.start()]
    return text
