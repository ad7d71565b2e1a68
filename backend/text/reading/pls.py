"""The W3C's Pronunciation Lexicon Specification 1.0: reads and writes it. Pure.

Case rules and parts of words are not in the specification: they are attributes of a namespace of
our own, which other readers ignore.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree  # only to write: `defusedxml` reads
from xml.etree.ElementTree import Element, SubElement

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from backend.errors import BadLexicon
from backend.text.reading.arpabet import ARPABET, convert_arpabet
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry
from backend.text.reading.lexicon_text import LARGEST_BYTES, MOST_ENTRIES

MEDIA_TYPE = "application/pls+xml"

_PLS = "http://www.w3.org/2005/01/pronunciation-lexicon"
_OWN = "urn:duplex-tts:lexicon"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_TRUE = {"true": True, "false": False, "1": True, "0": False}


def read_pls(document: bytes) -> tuple[list[LexiconEntry], list[str]]:
    """The entries, and why some lexemes are none: a pronunciation in another alphabet than IPA
    and ARPAbet, a malformed respelling. Raises `BadLexicon` if it is no such document, or has a
    DTD or entities.
    """
    if len(document) > LARGEST_BYTES:
        raise BadLexicon(f"a PLS document has at most {LARGEST_BYTES >> 20} MiB")
    try:
        root = defusedxml.ElementTree.fromstring(document, forbid_dtd=True)
    except DefusedXmlException as error:
        raise BadLexicon("a PLS document must have no DTD and no entities") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadLexicon(f"not XML: {error}") from error
    if _local_name(root) != "lexicon":
        raise BadLexicon(f"not a PLS document: its root is {_local_name(root)[:40]!r}, not lexicon")
    alphabet = root.get("alphabet", "ipa").lower()
    entries: list[LexiconEntry] = []
    problems: list[str] = []
    for lexeme in root:
        if _local_name(lexeme) != "lexeme":
            continue
        try:
            entries += _read_lexeme(lexeme, alphabet)
        except BadLexicon as error:
            problems.append(error.message)
        if len(entries) > MOST_ENTRIES:
            raise BadLexicon(f"a lexicon has at most {MOST_ENTRIES} entries")
    return entries, problems


def write_pls(entries: Iterable[LexiconEntry], language: str = "en") -> bytes:
    """The document for these entries."""
    ElementTree.register_namespace("", _PLS)
    ElementTree.register_namespace("duplex", _OWN)
    root = Element(f"{{{_PLS}}}lexicon", {"version": "1.0", "alphabet": "ipa", _XML_LANG: language})
    for entry in entries:
        lexeme = SubElement(root, f"{{{_PLS}}}lexeme")
        if entry.match_case is not None:
            lexeme.set(f"{{{_OWN}}}match-case", "true" if entry.match_case else "false")
        if entry.parts:
            lexeme.set(f"{{{_OWN}}}parts", "true")
        SubElement(lexeme, f"{{{_PLS}}}grapheme").text = entry.written
        said = "alias" if entry.phonemes is None else "phoneme"
        SubElement(lexeme, f"{{{_PLS}}}{said}").text = entry.phonemes or entry.said
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, "UTF-8", xml_declaration=True)
    return document + b"\n"


def _read_lexeme(lexeme: Element, alphabet: str) -> list[LexiconEntry]:
    """One entry for each spelling. The first pronunciation counts, or the first preferred one."""
    written = [_text(child) for child in lexeme if _local_name(child) == "grapheme"]
    said = [child for child in lexeme if _local_name(child) in ("phoneme", "alias")]
    if not written or not said:
        name = (written or ["a lexeme"])[0][:40]
        raise BadLexicon(f"{name!r}: expected a grapheme, and a phoneme or an alias")
    chosen = next((child for child in said if child.get("prefer") in ("true", "1")), said[0])
    text = _text(chosen)
    if _local_name(chosen) == "phoneme":
        text = f"/{_to_ipa(written[0], text, chosen.get('alphabet', alphabet).lower())}/"
    match_case = _TRUE.get(lexeme.get(f"{{{_OWN}}}match-case", ""))
    parts = _TRUE.get(lexeme.get(f"{{{_OWN}}}parts", ""), False)
    return [create_entry(name, text, match_case=match_case, parts=parts) for name in written]


def _to_ipa(written: str, phonemes: str, alphabet: str) -> str:
    if alphabet in ARPABET:
        return convert_arpabet(phonemes)
    if alphabet != "ipa":
        raise BadLexicon(f"{written[:40]!r}: is in {alphabet[:40]!r}; IPA and ARPAbet are read")
    return phonemes


def _local_name(element: Element) -> str:
    """The name without its namespace; "" for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text(element: Element) -> str:
    return (element.text or "").strip()
