"""Sentences end where a reader of the language would end them, however the text arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.segmenter import Segmenter
from tests.support.texts_of_languages import TEXTS, TextOfLanguage

FRAGMENTS = (
    *".?!…。！।؟۔;;··،、，:։՞።፣၊။។៕།་'\"“”„«»「」『』‘’()¿¡ \n\t\xa0\u202f\u200f\u2067\u2069",
    *(
        "3. ",
        "5 kg. ",
        "8.30. ",
        "z. B. ",
        "Dr. ",
        "M. ",
        "डॉ. ",
        "ดร. ",
        "1.000,50",
        "1’000",
        "٬٫",
    ),
    *(
        "A",
        "a",
        "é",
        "Ж",
        "ж",
        "Ω",
        "ω",
        "م",
        "ה",
        "है",
        "না",
        "ไทย ",
        "ลาว",
        "ລາວ ",
        "你",
        "か",
        "と",
    ),
    *("한", "하고", "են", "ም", "ကို", "ខ្ញុំ", "ང", "١", "৫", "๕", "🙂", "👩‍👧", "X", " hon. "),
)
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)
languages = st.sampled_from(sorted({text.language for text in TEXTS} | {"qaa"}))
exactly = settings(derandomize=True, deadline=None, max_examples=400)


def split(language: str, *pieces: str) -> list[str]:
    segmenter = Segmenter(language)
    sentences = [sentence for piece in pieces for sentence in segmenter.push_text(piece)]
    return [sentence.text for sentence in sentences + segmenter.end_text()]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.language)
def test_a_text_is_cut_where_a_reader_would(text: TextOfLanguage) -> None:
    assert split(text.language, text.text) == list(text.sentences)
    assert split(text.language, *text.text) == list(text.sentences)


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        (
            "de",
            ["Der 1. FC Köln gewann am 2. Spieltag. ", "Im 19. Jh. war das anders. ", "Nun ja."],
        ),
        ("de", ["Das war Nr. 5. ", "Prof. Dr. h. c. Meier kam um 15.30 Uhr. ", "Gut."]),
        ("de", ["Er sagte: „Ich gehe.“ ", "Dann ging er. ", "»Wirklich?«, fragte sie. ", "Ja."]),
        ("de", ["Es kostet 1’000.50 Franken. ", "Teuer… oder?"]),
        ("fr", ["Il a dit : « Oui. » ", "Puis il est parti ! ", "L'art. 5 le dit. ", "Voilà."]),
        ("fr", ["Il est 8 h 30. ", "Mlle Petit et MM. Roux arrivent."]),
        ("es", ["¿Qué? ", "¡No! ", "Vive en la Av. 5 de Mayo. ", "Pagó $ 1.000. ", "¿Verdad?"]),
        ("it", ["L'art. 5 è chiaro. ", "È vero? ", "Sì…"]),
        ("pl", ["Mieszka na ul. Długiej 5. ", "Ma 3. piętro. ", "Tak."]),
        ("ru", ["Он весит 5 кг. ", "Потом ушёл. ", "И т. д. и т. п. тоже. ", "Всё."]),
        ("el", ["Τι ώρα είναι; ", "Είναι 8:30. ", "Π.χ. τώρα. ", "Ναι;"]),
        ("ar", ["\u2067هل أنت هنا؟\u2069 ", "نعم. ", "السعر ١٬٢٣٤٫٥٠ درهم، أليس كذلك؟ ", "بلى."]),
        ("ur", ["قیمت ۱٬۲۳۴٫۵۰ روپے ہے۔", "ٹھیک ہے۔"]),
        ("hi", ["श्री. वर्मा आए।", "वे बोले, “मैं ठीक हूँ।” ", "3.5 किलो है। ", "ठीक?"]),
        ("zh", ["他说：“我走了。”", "然后他走了。", "3.5公斤！", "5个？", "好……真的好。"]),
        (
            "ja",
            ["「行こう。」と彼は言った。", "『はい！』って。", "５個です。", "（笑）そうだね。"],
        ),
        ("ko", ["“가자.”라고 말했다. ", "3.5킬로예요. ", "정말?"]),
        ("hy", ["Ո՞վ է. նա է։", "Լա՛վ։"]),
        ("km", ["គាត់ទៅផ្សារ ផ្ទះ ។ល។ ", "បាន។"]),
        ("th", ["น.ส. มาลีไปกรุงเทพฯ เมื่อ พ.ศ. 2560\n", "เด็ก ๆ ชอบ"]),
        ("tr", ["Saat 8.30. ", "Peki, 3. kat nerede? ", "No. 5 burada. ", "Peki."]),
        ("hu", ["A 2. emeleten lakik. ", "Kb. 5 kg. ", "Jó."]),
        ("ko", ["네이버.com에서 봤어요. ", "정말!"]),
        ("zh", ["好!", "3.5公斤?", "是的!", "明天见。"]),
        ("qaa", ["One. ", "Two? ", "Three!"]),
    ],
)
def test_marks_that_end_no_sentence_are_known(language: str, sentences: list[str]) -> None:
    assert split(language, "".join(sentences)) == sentences


@exactly
@given(languages, texts, st.lists(st.integers(0, 100), max_size=6))
def test_sentences_do_not_depend_on_the_pieces_that_arrive(
    language: str, text: str, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    whole = split(language, text)
    assert "".join(whole) == text
    assert split(language, *text) == whole
    assert split(language, *(text[a:b] for a, b in pairwise(edges))) == whole


def test_thai_is_cut_between_long_phrases() -> None:
    phrase = "วันนี้อากาศดีมากและเราจะไปเดินเล่นกัน "
    sentences = split("th", phrase * 20)
    assert all(60 <= len(sentence) < 60 + 2 * len(phrase) for sentence in sentences[:-1])
    assert all(sentence.endswith("กัน ") for sentence in sentences)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("el", "Πού είσαι;"),
        ("km", "បាន។"),
        ("bo", "བཀྲ་ཤིས།"),
        ("ur", "ٹھیک ہے۔"),
        ("ja", "はい。"),
        ("hy", "Լավ։"),
    ],
)
def test_a_flush_closes_what_ends_like_a_sentence(language: str, text: str) -> None:
    segmenter = Segmenter(language)
    segmenter.push_text(text)
    assert [sentence.text for sentence in segmenter.flush_text()] == [text]


@pytest.mark.parametrize("text", ["Herr Dr.", "am 3.", "z. B.", "ja,"])
def test_a_flush_leaves_an_abbreviation_open(text: str) -> None:
    segmenter = Segmenter("de")
    segmenter.push_text(text)
    assert segmenter.flush_text() == []
