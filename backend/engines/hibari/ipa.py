"""The phonetic alphabet (IPA) in that of the voices, misaki's: diphthongs and affricates are one
character each. Pure.

Source of the correspondences: misaki's EN_PHONES document.
"""

from __future__ import annotations

import re
from collections.abc import Container

_ONE_CHARACTER = {
    "eɪ": "A",
    "aɪ": "I",
    "oʊ": "O",
    "əʊ": "Q",
    "aʊ": "W",
    "ɔɪ": "Y",
    "tʃ": "ʧ",
    "dʒ": "ʤ",
    "ɝ": "ɜɹ",
    "ɚ": "əɹ",
    "r": "ɹ",
    "g": "ɡ",
    "ɫ": "l",
    "e": "ɛ",
    "a": "æ",
    "ɒ": "ɑ",
    "ɵ": "ə",
    "ɨ": "ɪ",
    "x": "k",
    "ʍ": "w",
    "y": "i",
    "ø": "ɜ",
    "œ": "ɜ",
    "'": "ˈ",
}
_SOUND = re.compile("|".join(map(re.escape, _ONE_CHARACTER)))
_TIES = str.maketrans("", "", "\u0361\u035c.")  # "t͡ʃ"; syllables


def convert_ipa(ipa: str, alphabet: Container[str]) -> str:
    """The phonemes for a pronunciation; sounds that the voices do not know are left out."""
    plain = ipa.translate(_TIES)
    sounds = _SOUND.sub(lambda sound: _ONE_CHARACTER[sound[0]], plain)
    return "".join(sound for sound in sounds if sound in alphabet)
