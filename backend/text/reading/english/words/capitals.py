"""Words in capitals: words, acronyms that are said, letters. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from backend.text.reading.english.word_sets import word_set
from backend.text.reading.english.words.acronym_table import (
    DOUBTFUL,
    MIXED,
    SAID,
    SHORT_WORDS,
    SPELLED,
)
from backend.text.reading.english.words.respellings import CASUAL
from backend.text.reading.written_words import WordCursor, WrittenWord

_CAPITALS = re.compile(r"([A-Z]{2,})(['’]?s|['’]S)?")
_ONSETS = word_set(
    """b bl br c ch chr cl cr d dr dw f fl fr g gh gl gn gr h j k kl kn kr l m n p ph phr pl pr
    chl chth kh phl pn ps pt q r rh s sc sch schl schm schn schw scl scr sh shr sk sl sm sn
    sp sph spl spr sq st str sv sw t th thr thw tr ts tw v w wh wr x y z zl zw"""
)
_CONSONANT_RUN = re.compile(r"[^aeiouy]+")
_CONTRACTION = re.compile(r"[A-Z]+['’](?:S|T|D|M|RE|VE|LL)|Y['’]ALL|O['’]CLOCK")
_SHOUTED_S = ("'S", "’S")
_CAMEL = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]")
_LONGEST_CLUSTER = 3  # consonants in a row inside a word that can be said
_LONGEST_IN_LONG = 5  # the same in long words, which are seldom letters: "MONTHS", "BIRTHDAY"
_LONG_WORD = 6  # letters
_LOOK_AROUND = 3  # words to either side that tell whether a text is in capitals
_LIGHTS = word_set("backlight bulb bulbs display lamp lamps light lighting lights screen strip tv")
_THE = word_set("a an her his my our the their this your")
_BEFORE_PRONOUN = word_set("do did done get got love hate want need that's")
_BEFORE_WHO = word_set("guess know knows see tell wonder exactly")


def spell(letters: str) -> str:
    """Says "F B I" for "fbi"."""
    return " ".join(letters.upper())


@lru_cache(2048)
def is_pronounceable(word: str) -> bool:
    """Whether a word in small letters looks as if it could be said in English."""
    if not re.search("[aeiouy]", word[1:]) or word[-1] in "jqv":
        return False
    runs = _CONSONANT_RUN.findall(word.replace("qu", "k"))
    onset = runs[0] if runs and word.startswith(runs[0]) else ""
    longest = _LONGEST_CLUSTER if len(word) < _LONG_WORD else _LONGEST_IN_LONG
    return (not onset or onset in _ONSETS) and max(map(len, runs), default=0) <= longest


@lru_cache(2048)
def is_spoken_word(capitals: str) -> bool:
    """Whether these capitals are a word, or said like one."""
    if capitals in SPELLED:
        return False
    word = capitals.lower()
    return word in SHORT_WORDS or (len(word) > 3 and is_pronounceable(word))


@lru_cache(2048)
def say_capitals(capitals: str) -> str:
    """Two and more capitals, out of context: "F B I", "Jason", "stop"."""
    if capitals in SAID:
        return SAID[capitals]
    if (careless := CASUAL.get(capitals.lower())) is not None:
        return careless
    if capitals not in DOUBTFUL and is_spoken_word(capitals):
        return capitals.lower()
    return spell(capitals)


def read_capitals(cursor: WordCursor, core: str) -> str | None:
    """A word in capitals, with the ending of a plural or a possessive."""
    match = _CAPITALS.fullmatch(core)
    if match is None:
        return _lower_contraction(core) if _CONTRACTION.fullmatch(core) else None
    capitals, ending = match[1], match[2]
    if ending in _SHOUTED_S and (capitals in DOUBTFUL or is_spoken_word(capitals)):
        return f"{capitals.lower()}'s"
    if ending:
        return add_ending(say_capitals(capitals), ending)
    return _read_doubtful(cursor, capitals) if capitals in DOUBTFUL else say_capitals(capitals)


def _lower_contraction(core: str) -> str:
    said = core.lower().replace("’", "'")
    return said.capitalize() if said.startswith("i'") else said


def add_ending(said: str, ending: str) -> str:
    """`said` in the plural ("s") or the possessive ("'s"); letters: "C E O's"."""
    is_letter = said[-1].isupper() and (len(said) == 1 or said[-2] == " ")
    return said + ("'s" if is_letter or len(ending) > 1 else "s")


def _read_doubtful(cursor: WordCursor, capitals: str) -> str:
    before = cursor.previous()
    last = "" if before.trail else before.core.lower()
    is_word = False
    match capitals:
        case "AM":
            is_word = last == "i" or _is_shouted(cursor) or cursor.peek().core == "I"
        case "IT":
            is_word = last not in _THE and (last in _BEFORE_PRONOUN or _is_shouted(cursor))
        case "LED":
            is_word = _is_shouted(cursor) and cursor.peek().core.lower() not in _LIGHTS
        case "US":
            is_word = last != "the" and _is_shouted(cursor)
        case "WHO":
            is_word = last in _BEFORE_WHO or (last != "the" and _is_shouted(cursor))
        case _:
            is_word = _is_shouted(cursor)
    return capitals.lower() if is_word else spell(capitals)


def _is_shouted(cursor: WordCursor) -> bool:
    """Whether the words around are in capitals, too. It looks at as few as tell it."""
    for back in range(1, _LOOK_AROUND + 1):
        if (told := _tells_shouting(cursor.previous(back))) is not None:
            return told
    for ahead in range(1, _LOOK_AROUND + 1):
        word = cursor.peek(ahead)
        if not word.core:
            return False
        if (told := _tells_shouting(word)) is not None:
            return told
    return False


def _tells_shouting(word: WrittenWord) -> bool | None:
    """True for a plain word in capitals, False for one in small letters, None for others."""
    core = word.core
    if len(core) < 2 or not core[0].isalpha():
        return False if core.islower() and core.isalpha() else None
    if not core.isupper():
        return False
    if core in DOUBTFUL or core in SAID or not is_spoken_word(core):
        return None
    return True


def read_mixed(core: str) -> str | None:
    """Words with capitals inside: "chat G P T"; None if it is made of plain words ("YouTube")."""
    base, ending = core, ""
    for tail in ("'s", "’s", "s"):
        if core.endswith(tail) and core not in MIXED:
            base, ending = core[: -len(tail)], tail
            break
    if base in MIXED:
        return add_ending(MIXED[base], ending) if ending else MIXED[base]
    if not (core.isascii() and core.isalpha()):
        return None
    if len(core) <= 4 and sum(map(str.isupper, core)) >= 2:
        return add_ending(spell(core[:-1]), "s") if core.endswith("s") else spell(core)
    return split_camel(core)


def split_camel(core: str) -> str | None:
    """The parts of a name like "getUserID"; None if none needs help."""
    parts = [part[0] for part in _CAMEL.finditer(core)]
    needs_help = any(len(part) > 1 and part.isupper() for part in parts)
    if not needs_help and (core[0].isupper() or len(parts[0]) == 1):
        return None  # "YouTube", "iPhone"
    return " ".join(
        say_capitals(part) if len(part) > 1 and part.isupper() else part for part in parts
    )
