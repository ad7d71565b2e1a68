import zipfile
from pathlib import Path

import pytest

from duplex_tts.books import archive, epub
from duplex_tts.books.book import Book, BookFailed
from duplex_tts.books.reader import read_book
from tests.support.epub_files import EpubFile, nav, page

NCX = """<?xml version="1.0"?><!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "x.dtd">
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>
<navPoint><navLabel><text>Part One</text></navLabel><content src="a.xhtml"/>
 <navPoint><navLabel><text>First</text></navLabel><content src="a.xhtml#one"/></navPoint>
 <navPoint><navLabel><text>Second</text></navLabel><content src="b%20c.xhtml"/></navPoint>
</navPoint></navMap></ncx>"""
ENCRYPTION = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
 xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData>
<enc:EncryptionMethod Algorithm="{}"/><enc:CipherData>
<enc:CipherReference URI="OEBPS/{}"/></enc:CipherData></enc:EncryptedData></encryption>"""


def read(path: Path, **fields: object) -> Book:
    return read_book(EpubFile(**fields).write(path / "book.epub"))  # type: ignore[arg-type]


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters if not chapter.left_out]


def left_out(book: Book) -> list[str]:
    return [chapter.left_out for chapter in book.chapters if chapter.left_out]


# --- chapters -------------------------------------------------------------------------------------


def test_chapters_are_those_of_the_table_of_contents(tmp_path: Path) -> None:
    book = read(
        tmp_path,
        pages={
            "a.xhtml": page("<h1>I</h1><p>a</p><h1 id='b'>II</h1><p>b</p>"),
            "c.xhtml": page("<p>still b</p>"),
            "d.xhtml": page("<h1>III</h1><p>d</p>"),
        },
        nav=nav(("One", "a.xhtml"), ("Two", "a.xhtml#b"), ("Three", "d.xhtml")),
    )
    assert [(chapter.title, chapter.text) for chapter in book.chapters] == [
        ("One", "I\n\na"),
        ("Two", "II\n\nb\n\nstill b"),
        ("Three", "III\n\nd"),
    ]


def test_an_ncx_may_be_nested_and_join_a_part_with_its_first_chapter(tmp_path: Path) -> None:
    pages = {
        "a.xhtml": page("<div id='one'/><p>a</p>"),
        "b c.xhtml": page("<p>b</p>"),
    }
    assert titles(read(tmp_path, pages=pages, ncx=NCX)) == ["Part One: First", "Second"]


def test_without_contents_documents_and_headings_are_chapters(tmp_path: Path) -> None:
    pages = {
        "a.xhtml": page("<p>Once</p>"),
        "b.xhtml": page("<p>Intro</p><h2>X</h2><p>x</p><h3>deep</h3><h2>Y</h2><p>y</p>"),
        "c.xhtml": page("<h1>Last</h1><p>c</p>"),
    }
    assert titles(read(tmp_path, pages=pages)) == ["Page", "X", "X", "Y", "Last"]


def test_contents_that_name_missing_documents_are_no_contents(tmp_path: Path) -> None:
    pages = {"a.xhtml": page("<h1>Alone</h1><p>a</p>")}
    assert titles(read(tmp_path, pages=pages, nav=nav(("Gone", "gone.xhtml")))) == ["Alone"]
    assert titles(read(tmp_path, pages=pages, ncx="<ncx><broken")) == ["Alone"]


def test_five_thousand_chapters_are_read(tmp_path: Path) -> None:
    pages = {f"c{n}.xhtml": page(f"<h1>Chapter {n}</h1><p>Text.</p>") for n in range(5_000)}
    entries = [(f"Chapter {n}", f"c{n}.xhtml") for n in range(5_000)]
    book = read(tmp_path, pages=pages, nav=nav(*entries))
    assert titles(book) == [title for title, _ in entries]


# --- what is not read -----------------------------------------------------------------------------


def test_front_matter_is_left_out_but_can_be_chosen(tmp_path: Path) -> None:
    book = read(
        tmp_path,
        pages={
            "cover.xhtml": page("<img src='c.jpg'/>"),
            "title.xhtml": page("<p>The Bells</p>", "epub:type='titlepage'"),
            "imprint.xhtml": page("<p>© 2024 Jo Li. All rights reserved. ISBN 1</p>"),
            "toc.xhtml": page("<h1>Contents</h1><p>One 1</p>"),
            "half.xhtml": page("<h1>THE BELLS</h1><p>a novel by Jo Li</p>"),
            "links.xhtml": page("<p><a href='one.xhtml'>One</a></p><p><a href='x'>More</a></p>"),
            "dedication.xhtml": page("<p>For you.</p>", "epub:type='dedication'"),
            "one.xhtml": page("<h1>One</h1><p>Text.</p>"),
            "ad.xhtml": page("<h1>More</h1><p>Buy it.</p>"),
            "notes.xhtml": page("<p>1. A note.</p>"),
        },
        nav=nav(("One", "one.xhtml"), ("Also by Jo Li", "ad.xhtml"), ("Notes", "notes.xhtml")),
        guide='<reference type="toc" href="toc.xhtml"/>',
        not_linear=["notes.xhtml"],
    )
    assert titles(book) == ["Page", "One"]
    assert left_out(book) == [
        *("no text", "title page", "copyright", "contents", "title page"),
        *("contents", "advertisement"),
        "not in the reading order",
    ]
    chapter = next(chapter for chapter in book.chapters if chapter.left_out == "copyright")
    assert "ISBN" in chapter.text


def test_what_is_left_out_is_not_read_at_the_end_of_another_chapter(tmp_path: Path) -> None:
    book = read(
        tmp_path,
        pages={
            "one.xhtml": page("<h1>One</h1><p>Text.</p>"),
            "colophon.xhtml": page("<p>Set in Garamond.</p>", "epub:type='colophon'"),
        },
        nav=nav(("One", "one.xhtml")),
    )
    assert [(each.title, each.left_out) for each in book.chapters] == [
        ("One", ""),
        ("Colophon", "colophon"),
    ]


# --- metadata -------------------------------------------------------------------------------------


def test_metadata_and_cover_are_read(tmp_path: Path) -> None:
    book = read(
        tmp_path,
        pages={"a.xhtml": page("<p>a</p>")},
        metadata="<dc:title>T &amp; Ü</dc:title><dc:creator>A</dc:creator>"
        "<dc:creator>B</dc:creator>"
        "<dc:language>de-AT</dc:language><dc:date>1999-01</dc:date>"
        "<dc:description>&lt;p&gt;Good.&lt;/p&gt;</dc:description>",
        files={"x.png": (b"png", 'media-type="image/png" properties="cover-image"')},
    )
    assert (book.title, book.author, book.language, book.year) == ("T & Ü", "A, B", "de-AT", "1999")
    assert (book.description, book.cover) == ("Good.", b"png")


def test_the_picture_of_a_cover_page_is_the_cover(tmp_path: Path) -> None:
    book = read(
        tmp_path,
        pages={"c.xhtml": page("<img src='pic/1.jpg'/>"), "a.xhtml": page("<p>a</p>")},
        raw={"OEBPS/pic/1.jpg": b"jpg"},
    )
    assert book.cover == b"jpg"


def test_a_cover_that_is_too_large_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epub, "MOST_COVER_BYTES", 1_000)
    cover = {"x.png": (bytes(1_001), 'media-type="image/png" properties="cover-image"')}
    book = read(tmp_path, pages={"a.xhtml": page("<p>a</p>")}, files=cover)
    assert (book.cover, book.chapters[0].text) == (None, "a")


def test_documents_may_have_another_encoding(tmp_path: Path) -> None:
    latin = '<?xml version="1.0" encoding="iso-8859-1"?><html><body><p>é</p></body></html>'
    path = EpubFile({"a.xhtml": ""}).write(tmp_path / "x.epub")
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("OEBPS/a.xhtml", latin.encode("latin-1"))
    assert read_book(path).chapters[0].text == "é"


# --- errors ---------------------------------------------------------------------------------------


def test_a_book_with_drm_is_refused(tmp_path: Path) -> None:
    aes = ENCRYPTION.format("http://www.w3.org/2001/04/xmlenc#aes256-cbc", "a.xhtml").encode()
    with pytest.raises(BookFailed, match=r"DRM.*\(encrypted_book\)"):
        read(tmp_path, pages={"a.xhtml": "x"}, raw={"META-INF/encryption.xml": aes})


def test_obfuscated_fonts_are_no_drm(tmp_path: Path) -> None:
    font = ENCRYPTION.format("http://www.idpf.org/2008/embedding", "a.xhtml").encode()
    book = read(tmp_path, pages={"a.xhtml": "<p>a</p>"}, raw={"META-INF/encryption.xml": font})
    assert book.chapters[0].text == "a"


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000_000)
    bomb = page(f"<p>{' ' * 600_000}</p>")
    with pytest.raises(BookFailed, match="book_too_large"):
        read(tmp_path, pages={"a.xhtml": bomb, "b.xhtml": bomb})


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "bad_book"), (b"not a zip", "bad_book"), (b"PK\3\4" + bytes(100), "bad_book")],
)
def test_what_is_no_epub_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "x.epub"
    path.write_bytes(content)
    with pytest.raises(BookFailed, match=code):
        read_book(path)


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = EpubFile({"a.xhtml": page("<p>" + "word " * 1_000 + "</p>")}).write(tmp_path / "x.epub")
    raw = bytearray(path.read_bytes())
    start = raw.index(b"OEBPS/a.xhtml") + 20
    raw[start : start + 20] = bytes(20)
    path.write_bytes(raw)
    with pytest.raises(BookFailed, match="bad_book"):
        read_book(path)


def test_a_damaged_member_of_another_compression_is_refused(tmp_path: Path) -> None:
    path = EpubFile({"a.xhtml": page("<p>a</p>")}).write(tmp_path / "x.epub")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as file:
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("OEBPS/a.xhtml", page("<p>" + "word " * 1_000 + "</p>"))
        start = file.infolist()[-1].header_offset + len("OEBPS/a.xhtml") + 40
    raw = bytearray(path.read_bytes())
    raw[start : start + 20] = b"\xff" * 20
    path.write_bytes(raw)
    with pytest.raises(BookFailed, match="bad_book"):
        read_book(path)


def test_addresses_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    book = read(
        tmp_path,
        pages={"a.xhtml": page("<img src='http://[x'/>"), "b.xhtml": page("<p>b</p>")},
        nav=nav(("Nowhere", "//[a"), ("One", "b.xhtml")),
        files={"c.css": (b"", "media-type='text/css'/><item id='bad' href='//[a'")},
    )
    assert titles(book) == ["One"]


def test_titles_have_no_control_characters(tmp_path: Path) -> None:
    contents = nav(("&#27;[31mOne&#7;", "a.xhtml"))
    assert titles(read(tmp_path, pages={"a.xhtml": page("<p>a</p>")}, nav=contents)) == ["[31mOne"]
    path = tmp_path / "x.md"
    path.write_text("---\ntitle: A\x1bB\n---\n# C\x1bD\n\ntext")
    book = read_book(path)
    assert (book.title, book.chapters[0].title) == ("A B", "C D")


def test_maps_in_maps_are_no_contents(tmp_path: Path) -> None:
    depth = 5_000
    ncx = f"<ncx>{'<navMap>' * depth}{'</navMap>' * depth}</ncx>"
    assert titles(read(tmp_path, pages={"a.xhtml": page("<h1>One</h1>a")}, ncx=ncx)) == ["One"]


def test_entities_that_expand_are_refused(tmp_path: Path) -> None:
    path = EpubFile({"a.xhtml": page("<p>a</p>")}).write(tmp_path / "x.epub")
    bomb = b'<!DOCTYPE a [<!ENTITY b "b"><!ENTITY c "&b;&b;">]><container>&c;</container>'
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("META-INF/container.xml", bomb)
    with pytest.raises(BookFailed, match="bad_book"):
        read_book(path)


def test_other_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(BookFailed, match=r"ebook-convert book\.mobi book\.epub"):
        read_book(tmp_path / "x.mobi")
    with pytest.raises(BookFailed, match=r"No such file.*\(unreadable\)"):
        read_book(tmp_path / "x.epub")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(BookFailed, match="is a folder"):
        read_book(tmp_path / "folder.txt")


def test_a_book_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BookFailed, match="no documents"):
        read(tmp_path, pages={})
