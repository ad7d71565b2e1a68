"""Phonetic alphabets as IPA. Pure.

`ipa` and `x-sampa` are SSML's and its dialects'; `cmu-arpabet` is ElevenLabs' (its help centre, "Do
pauses and SSML phoneme tags work with the API?").
"""

from __future__ import annotations

import re


def _pairs(listed: str) -> dict[str, str]:
    names = listed.split()
    return dict(zip(names[::2], names[1::2], strict=True))


_ARPABET = _pairs(
    """
    AA ɑ  AE æ  AH ʌ  AO ɔ  AW aʊ  AY aɪ  EH ɛ  ER ɝ  EY eɪ  IH ɪ  IY i  OW oʊ  OY ɔɪ  UH ʊ  UW u
    B b  CH tʃ  D d  DH ð  F f  G ɡ  HH h  JH dʒ  K k  L l  M m  N n  NG ŋ  P p  R ɹ  S s  SH ʃ
    T t  TH θ  V v  W w  Y j  Z z  ZH ʒ
    """
)
_UNSTRESSED = {"AH": "ə", "ER": "ɚ"}
_STRESS = {"1": "ˈ", "2": "ˌ"}
_ARPABET_SOUND = re.compile(r"([A-Z]{1,2})([012]?)")

_X_SAMPA = _pairs(
    r"""
    r\ ɹ  h\ ɦ  j\ ʝ  l\ ɺ  p\ ɸ  s\ ɕ  z\ ʑ  :\ ˑ  d` ɖ  l` ɭ  n` ɳ  r` ɽ  s` ʂ  t` ʈ  z` ʐ  @` ɚ
    3` ɝ  _h ʰ  _j ʲ  _w ʷ  A ɑ  B β  C ç  D ð  E ɛ  F ɱ  G ɣ  H ɥ  I ɪ  J ɲ  K ɬ  L ʎ  M ɯ  N ŋ
    O ɔ  P ʋ  Q ɒ  R ʁ  S ʃ  T θ  U ʊ  V ʌ  W ʍ  X χ  Y ʏ  Z ʒ  g ɡ  @ ə  { æ  } ʉ  1 ɨ  2 ø  3 ɜ
    4 ɾ  5 ɫ  6 ɐ  7 ɤ  8 ɵ  9 œ  & ɶ  ? ʔ  : ː  % ˌ  " ˈ  ' ʲ
    """
)
_X_SAMPA |= {"~": "\u0303", "_~": "\u0303", "=": "\u0329", "_=": "\u0329", "-": "", "_": ""}
_X_SAMPA_SOUND = re.compile(r"[@rhjlpszdnt3:][\\`]|_[hjw~=]|.", re.DOTALL)


def to_ipa(alphabet: str, phonemes: str) -> str:
    """The phonemes in IPA; "" if the alphabet is unknown or the phonemes are not in it."""
    match alphabet.strip().lower():
        case "" | "ipa":
            return phonemes.strip().strip("/[]")
        case "x-sampa" | "xsampa":
            return "".join(_X_SAMPA.get(s, s) for s in _X_SAMPA_SOUND.findall(phonemes.strip()))
        case "cmu-arpabet" | "cmu" | "arpabet":
            return _arpabet_to_ipa(phonemes)
    return ""


def _arpabet_to_ipa(phonemes: str) -> str:
    """The stress before the vowel."""
    sounds = []
    for sound in phonemes.upper().split():
        match = _ARPABET_SOUND.fullmatch(sound)
        if match is None or match[1] not in _ARPABET:
            return ""
        vowel = _UNSTRESSED.get(match[1]) if match[2] == "0" else None
        sounds.append(_STRESS.get(match[2], "") + (vowel or _ARPABET[match[1]]))
    return "".join(sounds)
