import pytest

from duplex_tts.books.book import BookFailed, Chapter
from duplex_tts.books.chapter_choice import choose_chapters

CHAPTERS = [Chapter("1", "a", "cover"), Chapter("2", "b"), Chapter("3", ""), Chapter("4", "d")]


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        (None, "24"),
        ("1-2", "12"),
        ("4,1", "14"),
        ("2-", "24"),
        ("-3", "12"),
        ("2, 2", "2"),
    ],
)
def test_chapters_are_chosen_by_number(wanted: str | None, titles: str) -> None:
    assert "".join(each.title for each in choose_chapters(CHAPTERS, wanted)) == titles


@pytest.mark.parametrize("wanted", ["0", "5", "3-2", "x", "-", "1-2-3", "1;2"])
def test_other_choices_are_refused(wanted: str) -> None:
    with pytest.raises(BookFailed, match="bad_chapters"):
        choose_chapters(CHAPTERS, wanted)


@pytest.mark.parametrize("wanted", ["3", ""])
def test_a_choice_without_text_is_refused(wanted: str) -> None:
    with pytest.raises(BookFailed, match="nothing_to_read"):
        choose_chapters(CHAPTERS, wanted)
