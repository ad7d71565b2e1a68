"""Characters become their plain form; what cannot be seen or said is not there."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from backend.text.markup.reader import MarkupReader
from tests.backend.text.markup.texts import said


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("cafe\u0301 nai\u0308ve", "café naïve"),
        (normalize("NFD", "Việt Nam résumé 한국어 が"), "Việt Nam résumé 한국어 が"),
        ("Ｆｕｌｌ １２３", "Full 123"),
        ("𝗕𝗼𝗹𝗱 𝒾𝓉 ℝ ①", "Bold it R 1"),
        ("x² ½ µm … № ™ ′ ″ 1ª 20º", "x² ½ µm … № ™ ′ ″ 1ª 20º"),
        ("CO₂ x₁ 5ᵗʰ Mᵐᵉ", "CO2 x1 5th Mme"),
        ("zero\u200bwidth so\u00adft a\u2060b \ufeffx", "zerowidth soft ab x"),
        ("می\u200cخواهم क्\u200dष auf\u200clage", "می\u200cخواهم क्\u200dष auflage"),
        ("a\x00b \u202ec", "a b c"),
        ("no\u00a0break a\u2009thin\u3000wide", "no break a thin wide"),
        (
            "10\u00a0000 1\u202f234\u202f567, 5\u00a0kg, 2\u00a01234",
            "10_000 1_234_567, 5 kg, 2 1234",
        ),
        ("We’re ‘n’ donʼt it´s O＇K", "We're 'n' don't it's O'K"),
        ("well\u2011known \u2010", "well-known -"),
        ("“Quotes” – dashes — −5", "“Quotes” – dashes — −5"),
        ("Great 🎉 👩‍👩‍👧 🇩🇪 👍🏽 ❤️ job", "Great job"),
        ("1️⃣ first, #️⃣", "1 first, #"),
        ("20°C © ® ⌘ ℹ️ ✓", "20°C © ®"),
        ("🙂🙂", ""),
        ("→ A → B ➡️ C ← D\n⇒ E", "A → B ➡ C D E"),
        ("🄷🄸 Ⓗⓘ", "HI Hi"),
    ],
)
def test_the_plain_form(text: str, plain: str) -> None:
    assert normalize("NFC", said(text)) == plain


def test_a_letter_does_not_wait_for_an_accent() -> None:
    reader = MarkupReader()
    assert reader.push_text("cafe") == "cafe"
    assert reader.push_text("\u0301 ") == "\u0301 "
