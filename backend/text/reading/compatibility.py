"""Unicode's compatibility characters: other looks of characters, one or several. Pure."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import decomposition

# Other decompositions change what is said: a fraction has a name, a raised digit is a power.
_LOOKS = frozenset(("<wide>", "<narrow>", "<font>", "<circle>", "<square>", "<compat>", "<sub>"))
_LOOKS |= {"<initial>", "<medial>", "<final>", "<isolated>", "<vertical>"}
# Signs that rules know: micro, numero, ellipses, primes, ordinals.
_READ_AS_THEY_ARE = frozenset("µ№…‥″‴‶‷⁗℅℆™℠ªº")


def expand(word: str) -> str:
    """`word` with the characters that are several ("ﬁ", "㎏", "Ⅳ") in full."""
    return word if word.isascii() else "".join(map(_expand_character, word))


@lru_cache(4096)
def _expand_character(character: str) -> str:
    expanded = find_look(character)
    return character if " " in expanded else expanded


def find_look(character: str) -> str:
    """What the character is another look of, one level: "㎡" is "m²", not "m2"."""
    kind, _, codes = decomposition(character).partition(" ")
    plain = "".join(chr(int(code, 16)) for code in codes.split() if kind)
    is_look = kind in _LOOKS or (kind == "<super>" and plain.isalpha())
    return plain if is_look and character not in _READ_AS_THEY_ARE else character
