from pathlib import Path

import pytest

from duplex_tts.books.book import Book, BookFailed
from duplex_tts.books.reader import read_book

PROSE = "It was the best of times, it was the worst of times, it was the age"


def read(tmp_path: Path, name: str, content: str | bytes) -> Book:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_book(path)


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters if not chapter.left_out]


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headings",
    [
        ["Chapter 1", "CHAPTER II. The Bells", "chapter three"],
        ["Prologue", "Part One", "Epilogue"],
        ["Kapitel 1", "Zweites Kapitel", "3. Kapitel"],
        ["Chapitre 1", "CHAPITRE II", "Épilogue"],
        ["第一章 开始", "第二章", "第三章"],
    ],
)
def test_headings_begin_chapters(tmp_path: Path, headings: list[str]) -> None:
    text = "\n\n\n".join(f"{heading}\n\n{PROSE}.\n\nMore." for heading in headings)
    book = read(tmp_path, "x.txt", text)
    assert titles(book) == headings
    assert book.chapters[0].text == f"{headings[0]}\n\n{PROSE}.\n\nMore."


def test_a_sentence_about_a_chapter_is_no_heading(tmp_path: Path) -> None:
    text = f"{PROSE}.\n\nChapter 3 is the best chapter of all, and {PROSE}.\n\nPart of it."
    assert titles(read(tmp_path, "x.txt", text)) == ["x"]


def test_bare_numbers_begin_chapters_if_they_count(tmp_path: Path) -> None:
    text = f"Preliminary.\n\nI\n\n{PROSE}\n\nII.\n\n{PROSE}\n\nIII\n\n1984\n\n{PROSE}"
    expected = ["Beginning", "Chapter 1", "Chapter 2", "Chapter 3"]
    assert titles(read(tmp_path, "x.txt", text)) == expected


def test_a_table_of_contents_is_no_list_of_chapters(tmp_path: Path) -> None:
    contents = "CONTENTS\n\nChapter 1\nChapter 2\nChapter 3\nChapter 4"
    text = f"{contents}\n\nChapter 1\n\n{PROSE}\n\nChapter 2\n\n{PROSE}"
    assert titles(read(tmp_path, "x.txt", text))[1:] == ["Chapter 1", "Chapter 2"]


def test_parts_are_separated_by_blank_lines(tmp_path: Path) -> None:
    text = f"The Bells\n\n{PROSE}\n\n\n\n{PROSE}\n\n{PROSE}\f{PROSE}"
    assert titles(read(tmp_path, "x.txt", text)) == ["The Bells", "Part 2", "Part 3"]


def test_wrapped_lines_are_joined_and_verses_are_not(tmp_path: Path) -> None:
    text = f"{PROSE}\n{PROSE}\r\nof wisdom.\n\nRoses are red,\nviolets are blue."
    (chapter,) = read(tmp_path, "x.txt", text).chapters
    assert chapter.text == f"{PROSE} {PROSE} of wisdom.\n\nRoses are red,\nviolets are blue."


def test_the_licence_of_project_gutenberg_is_not_read(tmp_path: Path) -> None:
    text = (
        "The Project Gutenberg eBook of Bells\n\nTitle: Bells\n\nAuthor: Jo Li\n\n"
        "Language: German\n\n*** START OF THE PROJECT GUTENBERG EBOOK BELLS ***\n\n"
        f"Chapter 1\n\n{PROSE}\n\n"
        "*** END OF THE PROJECT GUTENBERG EBOOK BELLS ***\n\nLicence"
    )
    book = read(tmp_path, "x.txt", text)
    assert (book.title, book.author, book.language) == ("Bells", "Jo Li", "de")
    assert [chapter.text for chapter in book.chapters] == [f"Chapter 1\n\n{PROSE}"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_text_may_have_another_encoding(tmp_path: Path, encoding: str) -> None:
    (chapter,) = read(tmp_path, "x.txt", "Café “x”".encode(encoding)).chapters
    assert chapter.text == "Café “x”"


def test_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BookFailed, match="NUL bytes"):
        read(tmp_path, "x.txt", b"\x7fELF\0\0")


def test_an_empty_file_has_nothing_to_read(tmp_path: Path) -> None:
    assert titles(read(tmp_path, "x.txt", "\n \n")) == []
    assert titles(read(tmp_path, "x.md", "")) == []


# --- Markdown -------------------------------------------------------------------------------------


def test_repeated_headings_are_chapters_and_the_one_above_is_the_title(tmp_path: Path) -> None:
    text = "# The *Bells*\n\nIntro.\n\n## One\n\na\n\n### deep\n\nb\n\nTwo\n---\n\nc"
    book = read(tmp_path, "x.md", text)
    assert book.title == "The Bells"
    assert [(chapter.title, chapter.text) for chapter in book.chapters] == [
        ("The Bells", "# The *Bells*\n\nIntro."),
        ("One", "## One\n\na\n\n### deep\n\nb"),
        ("Two", "Two\n---\n\nc"),
    ]


def test_headings_in_code_are_none(tmp_path: Path) -> None:
    text = "# One\n\n```\n# not\n```\n\n# Two\n\n> # quoted\n"
    assert titles(read(tmp_path, "x.md", text)) == ["One", "Two"]


def test_front_matter_of_markdown_is_metadata(tmp_path: Path) -> None:
    text = '---\ntitle: "Bells"\nauthor: Jo Li\nlang: en-GB\ndate: 2024-05-01\n---\n\nText.'
    book = read(tmp_path, "x.md", text)
    assert (book.title, book.author, book.language, book.year) == (
        *("Bells", "Jo Li", "en-GB", "2024"),
    )
    assert [chapter.text for chapter in book.chapters] == ["Text."]


def test_contents_of_markdown_are_left_out(tmp_path: Path) -> None:
    text = "# Contents\n\n- One\n\n# One\n\na\n\n# Two\n\n"
    book = read(tmp_path, "x.md", text)
    assert titles(book) == ["One", "Two"]
    assert book.chapters[0].left_out == "contents"
