"""ARPAbet becomes IPA."""

from __future__ import annotations

import pytest

from backend.errors import BadLexicon
from backend.text.reading.arpabet import convert_arpabet


@pytest.mark.parametrize(
    ("arpabet", "ipa"),
    [
        ("W IH1 N", "wˈɪn"),
        ("SH IH0 V AO1 N", "ʃɪvˈɔn"),
        ("ah0 b aw1 t", "əbˈaʊt"),
        ("HH AH1 N T ER0", "hˈʌntɚ"),
        ("K AE1 T AH0 L AO2 G", "kˈætəlˌɔɡ"),
        ("", ""),
    ],
)
def test_converts(arpabet: str, ipa: str) -> None:
    assert convert_arpabet(arpabet) == ipa


@pytest.mark.parametrize("arpabet", ["wɪn", "W1", "QQ", "IH12", "1", "IH1N"])
def test_other_symbols_are_refused(arpabet: str) -> None:
    with pytest.raises(BadLexicon):
        convert_arpabet(arpabet)
