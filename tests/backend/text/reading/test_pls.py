"""The W3C's pronunciation lexicons are read and written; hostile documents are refused."""

from __future__ import annotations

import time

import pytest

from backend.errors import BadLexicon
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry
from backend.text.reading.pls import read_pls, write_pls

NAMESPACE = 'xmlns="http://www.w3.org/2005/01/pronunciation-lexicon"'
DOCUMENT = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<lexicon version="1.0" {NAMESPACE} alphabet="ipa" xml:lang="en">
  <meta name="author" content="us"/>
  <!-- names -->
  <lexeme><grapheme>Nguyen</grapheme><grapheme>Nguyễn</grapheme><alias>win</alias></lexeme>
  <lexeme role="x"><grapheme>Siobhan</grapheme>
    <phoneme>ʃɪvɔːn</phoneme><phoneme prefer="true"> ʃɪˈvɔːn </phoneme></lexeme>
  <lexeme><grapheme>Ross</grapheme><phoneme alphabet="x-sampa">rQs</phoneme></lexeme>
  <lexeme><grapheme>Nothing</grapheme></lexeme>
  <lexeme><grapheme>Odd</grapheme><alias>0dd</alias></lexeme>
</lexicon>
"""


def test_reads_graphemes_aliases_and_phonemes() -> None:
    entries, problems = read_pls(DOCUMENT.encode())
    assert entries == [
        LexiconEntry("Nguyen", "win"),
        LexiconEntry("Nguyễn", "win"),
        LexiconEntry("Siobhan", "/ʃɪˈvɔːn/"),
    ]
    assert [problem.split(":")[0] for problem in problems] == ["'Ross'", "'Nothing'", "'Odd'"]


def test_written_document_reads_the_same() -> None:
    entries = [
        create_entry("Nguyen", "win"),
        create_entry("AT&T <x>", "/eɪ tiː/", match_case=True),
        create_entry("kube", "cube", match_case=False, parts=True),
    ]
    assert read_pls(write_pls(entries)) == (entries, [])


def test_empty_document_reads_as_nothing() -> None:
    assert read_pls(write_pls([])) == ([], [])


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"Nguyen = win",
        b"<lexicon>",
        b"<html/>",
        b"\xff\xfe<",
        b'<?xml version="1.0" encoding="no-such"?><lexicon/>',
        b'<!DOCTYPE lexicon SYSTEM "file:///etc/passwd"><lexicon/>',
        b'<!DOCTYPE l [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><lexicon>&b;</lexicon>',
        b"<lexicon>" + b"x" * (2 << 20) + b"</lexicon>",
        b"<lexicon>"
        + b"<lexeme><grapheme>a</grapheme><alias>b</alias></lexeme>" * 10_001
        + b"</lexicon>",
    ],
)
def test_other_documents_are_refused(document: bytes) -> None:
    with pytest.raises(BadLexicon):
        read_pls(document)


def test_deep_document_is_harmless() -> None:
    began = time.process_time()
    assert read_pls(b"<lexicon>" + b"<a>" * 50_000 + b"</a>" * 50_000 + b"</lexicon>") == ([], [])
    assert time.process_time() - began < 1
