import pytest

from duplex_tts.books.book import BookFailed
from duplex_tts.cli.book.voice import choose_language

VOICES = [
    {"name": "heart", "language": "en-US", "ready": True},
    {"name": "emma", "language": "en-GB", "ready": False},
    {"name": "many", "language": "de", "other_languages": ["fr", "pt-BR"], "ready": True},
]


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("en_US", "en-US"),
        ("en-GB", "en"),  # its voice would have to be downloaded
        ("pt-BR", "pt-BR"),
        ("pt-PT", "pt"),
        ("de-AT", "de"),
        ("", None),
        ("und", None),
        ("no language", None),
    ],
)
def test_a_book_is_read_in_its_language(tag: str, language: str | None) -> None:
    assert choose_language(VOICES, None, tag) == language


def test_a_named_voice_reads_any_book() -> None:
    assert choose_language(VOICES, "many", "fr-CA") == "fr"
    assert choose_language(VOICES, "heart", "fr-CA") is None


def test_a_language_without_a_voice_names_the_remedy() -> None:
    with pytest.raises(BookFailed, match="`duplex-tts voices available sv`"):
        choose_language(VOICES, None, "sv-SE")
