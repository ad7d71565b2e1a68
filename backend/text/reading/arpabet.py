"""CMU's ARPAbet as IPA: how American dictionaries and some vendors write pronunciations. Pure."""

from __future__ import annotations

from backend.errors import BadLexicon

ARPABET = ("cmu-arpabet", "x-cmu", "x-arpabet")
"""Its names in the `alphabet` of lexicons."""

_VOWELS = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɝ",
    "EY": "eɪ", "IH": "ɪ", "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u",
}  # fmt: skip
_CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ",
    "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ",
    "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}
_UNSTRESSED = {"AH": "ə", "ER": "ɚ"}


def convert_arpabet(text: str) -> str:
    """The IPA of "W IH1 N"; stress marks go before the vowels. Raises `BadLexicon`."""
    ipa = ""
    for symbol in text.upper().split():
        name, stress = symbol.rstrip("012"), symbol[-1] if symbol[-1] in _STRESS else ""
        if name in _VOWELS and len(symbol) - len(name) <= 1:
            vowel = _UNSTRESSED.get(name) if stress == "0" else None
            ipa += _STRESS.get(stress, "") + (vowel or _VOWELS[name])
        elif symbol in _CONSONANTS:
            ipa += _CONSONANTS[symbol]
        else:
            raise BadLexicon(f"{symbol[:20]!r} is not a phoneme of CMU's ARPAbet")
    return ipa
