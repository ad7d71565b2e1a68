"""Letters and digits in one word are read apart."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("MP3 and MP4 files.", "M P three and M P four files."),
        ("GPT-4 and GPT-3.5 came.", "G P T four and G P T three point five came."),
        ("A320neo and B52", "A three twenty neo and B fifty two"),
        ("H.264 here.", "H two sixty four here."),
        ("CO2, H2O and CO₂", "C O two, H two O and C O two"),
        ("USB-C and Type-C", "U S B C and Type-C"),
        ("x86_64 and arm64", "X eighty six sixty four and arm sixty four"),
        ("B2B and P2P", "B to B and P to P"),
        ("FY25 and Q3", "F Y twenty five and Q three"),
        ("WW2 ended.", "W W two ended."),
        ("UTC+2 and GMT-5", "U T C plus two and G M T minus five"),
        ("I-95 and US-101", "I ninety five and U S one oh one"),
        ("A4 and M3", "A four and M three"),
        ("B-52s and F-16s and MP3s", "B fifty twos and F sixteens and M P threes"),
        ("A380s and X6s", "A three eighties and X sixes"),
        ("k8s", "K eight S"),
        ("PS5 and S3", "P S five and S three"),
        ("v2 and v1.2", "V two and V one point two"),
        ("X11 and F-16", "X eleven and F sixteen"),
        ("k8s and i18n", "K eight S and I eighteen N"),
        ("i7-9700K came.", "I seven ninety seven hundred K came."),
        ("SHA-256 and MD5", "S H A two fifty six and M D five"),
        ("MI6 and B12", "M I six and B twelve"),
        ("IPv4 and IPv6", "I P V four and I P V six"),
        ("utf-8 and win32", "U T F eight and win thirty two"),
        ("COVID-19 and Boeing-747", "covid nineteen and Boeing seven forty seven"),
        ("AI-based and non-US", "A I based and non U S"),
        ("X-ray and T-shirt", "X-ray and T-shirt"),
        ("d41d8cd98f", "D four one D eight C D nine eight F"),
    ],
)
def test_identifiers_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
