"""Reads what is said digit by digit: telephone numbers, cards, codes, addresses, versions. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from backend.text.reading.english.numbers.figure import normalise_dashes
from backend.text.reading.english.numbers.nouns import is_counted
from backend.text.reading.english.numbers.number_forms import say_dotted
from backend.text.reading.english.numbers.number_words import (
    digit_pairs,
    spell_digits,
    whole_number,
)
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor, WrittenWord

_PHONE_CUES = word_set(
    """
    call dial phone tel telephone fax text ring mobile cell card account iban isbn number whatsapp
    sms contact hotline helpline at on no
    """
)
_CALL_CUES = word_set("call dial phone text ring calling dialing dialed called")
_DIGIT_CUES = word_set(
    """
    pin code passcode password zip zipcode postcode otp cvv cvc account card serial extension ext
    isbn imei ssn tracking order ticket invoice reference ref id case booking confirmation member
    policy
    """
)
_PAIR_CUES = word_set(
    """
    room flight route highway hwy suite apartment apt unit bus gate boeing airbus error status rfc
    port rtx gtx gtx rx iso model area interstate studio office locker http exit rte
    """
)
_BETWEEN = word_set("is was number no nr")
_SHORT_NUMBERS = word_set("911 999 112 111 101 211 311 411 511 611 711 811 988 000")
_LONG = 5  # digits: "#12345" is a ticket
_GROUPS = re.compile(r"\+?\d+(?:(?:[-./]|\)-?|\()\d+)*")
_LETTERED_PHONE = re.compile(r"1-(8\d\d)-([A-Z]{2,}(?:-[A-Z]+)*)")
_SHAPES = frozenset(
    [
        (3, 4),
        (3, 3, 4),
        (1, 3, 3, 4),
        (3, 2, 4),
        (4, 4, 4, 4),
        (4, 4, 4),
        (2, 2, 2),
        (5, 4),
        (4, 6, 5),
    ]
)
_SPACED_SHAPES = frozenset([(3, 3, 4), (4, 4, 4, 4), (4, 4, 4), (4, 6, 5)])
_MOST_WORDS = 8
_VERSION = re.compile(r"([vV]?)(\d+(?:\.\d+)+)(?:(:)(\d+)|(/)(\d+)|[-+]?([a-z]{1,6})\.?(\d*))?")
_RELEASES = word_set("a b rc alpha beta dev pre post final")
_SHORT_VERSION = re.compile(r"v(\d+)")
_HEX = re.compile(r"0([xb])([0-9a-fA-F]+)")


def read_phone_number(cursor: WordCursor) -> Reading | None:
    """Groups of digits over one or several words: "+44 20 7946 0018", "(555) 010-0199"."""
    core = normalise_dashes(cursor.word.core)
    if match := _LETTERED_PHONE.fullmatch(core):
        return Reading(f"one, {digit_pairs(match[1])}, {match[2].replace('-', ' ')}")
    if not _GROUPS.fullmatch(core):
        return None
    count = _count_words(cursor)
    words = list(cursor.take(count))
    text = " ".join(normalise_dashes(word.core) for word in words)
    groups = re.split(r"[-./ ()]+", text.removeprefix("+"))
    if not _is_phone(cursor, words, groups, text):
        return None
    said = ", ".join(spell_digits(group) for group in groups)
    return Reading(f"plus {said}" if text.startswith("+") else said, count)


def _count_words(cursor: WordCursor) -> int:
    """How many words from the cursor on are groups of digits."""
    count, word = 1, cursor.word
    if len(word.core) == 1 and not word.core.startswith("+"):
        return 1 if cursor.word.trail or not _is_phone_head(cursor) else _count_on(cursor, count)
    return _count_on(cursor, count)


def _is_phone_head(cursor: WordCursor) -> bool:
    return _previous_cue(cursor) in _PHONE_CUES


def _count_on(cursor: WordCursor, count: int) -> int:
    while count < _MOST_WORDS and cursor.peek(count - 1).trail in ("", ")"):
        following = cursor.peek(count)
        if following.lead not in ("", "(") or not _GROUPS.fullmatch(
            normalise_dashes(following.core)
        ):
            break
        count += 1
    return count


def _is_phone(cursor: WordCursor, words: list[WrittenWord], groups: list[str], text: str) -> bool:
    lengths = tuple(map(len, groups))
    total = sum(lengths)
    if text.startswith("+"):
        return total >= 7
    if len(words) == 1:
        return _is_grouped_word(text, groups, lengths)
    is_bracketed = "(" in words[0].lead and words[0].trail == ")"
    if is_bracketed or lengths in _SPACED_SHAPES:
        return total >= 7
    if groups[0].startswith("0") and lengths[0] >= 2:
        return total >= 7
    is_account = re.fullmatch(r"[A-Z]{2}\d\d", cursor.previous().core) is not None  # IBAN
    is_cued = is_account or _previous_cue(cursor) in _PHONE_CUES
    return total >= 7 and max(lengths) <= 6 and is_cued


def _is_grouped_word(text: str, groups: list[str], lengths: tuple[int, ...]) -> bool:
    if "/" in text or len(groups) < 2:
        return False
    if "." in text:
        return "-" not in text and lengths in ((3, 3, 4), (1, 3, 3, 4))
    if len(groups) == 2 and groups[0].startswith("0") and lengths[0] > 2:
        return sum(lengths) >= 7
    return lengths in _SHAPES or len(groups) >= 4


def _previous_cue(cursor: WordCursor) -> str:
    """The word before, small, over "is", "number", "no."; it must not end a sentence."""
    for back in (1, 2, 3):
        word = cursor.previous(back)
        cue = word.core.lower().rstrip(":#=")
        if cue not in _BETWEEN or word.trail not in ("", ".", ":"):
            return "" if word.trail not in ("", ":", ".") else cue
    return ""


def is_model(cursor: WordCursor) -> bool:
    """Whether the word before says that a number is a name: "Boeing 737-800"."""
    return _previous_cue(cursor) in _PAIR_CUES


def read_identifier(cursor: WordCursor) -> Reading | None:
    """A number behind a word that says how it is read: "PIN 1234", "Room 101", "Call 911"."""
    digits = cursor.word.core.lstrip("#")
    if not digits.isdigit() or not digits.isascii():
        return None
    reading = _read_cued(cursor, digits)
    if reading is None or digits == cursor.word.core:
        return reading
    return replace(reading, spoken=f"number {reading.spoken}")


def _read_cued(cursor: WordCursor, digits: str) -> Reading | None:
    cue = _previous_cue(cursor)
    if len(digits) == 2 and cursor.word.lead[-1:] in ("'", "’", "‘"):
        return None  # a year
    if digits[0] == "0" and len(digits) > 1:
        if len(digits) == 4 and cursor.peek().core.lower() in ("hours", "hrs", "zulu"):
            return Reading(_say_military(digits))
        return Reading(spell_digits(digits))
    if cursor.word.is_glued and cursor.previous().core[-1:].isdigit():
        return Reading(spell_digits(digits))  # the rest of a very long number
    if cue in _CALL_CUES and (digits in _SHORT_NUMBERS or len(digits) >= 5):
        return Reading(spell_digits(digits))
    if (cue in _DIGIT_CUES and len(digits) >= 4) or (
        len(digits) >= _LONG and digits != cursor.word.core
    ):
        return Reading(spell_digits(digits))
    if digits == "911" and cue not in _PAIR_CUES and not is_counted(cursor.peek().core):
        return Reading("nine one one")
    before = cursor.previous().core
    if len(before) == 2 and before.isupper() and cursor.previous(2).core.lower() == "flight":
        cue = "flight"
    is_name = cue in _PAIR_CUES or (cue in _DIGIT_CUES and len(digits) == 3)
    if is_name or (len(digits) == 4 and before.isupper() and len(before) > 1):
        return Reading(digit_pairs(digits))
    return None


def _say_military(digits: str) -> str:
    """Reads "zero eight hundred" for "0800"."""
    minutes = "hundred" if digits[2:] == "00" else whole_number(digits[2:])
    return f"{whole_number(digits[:2])} {minutes}"


def read_version(cursor: WordCursor) -> Reading | None:
    """Versions, network addresses and hexadecimal numbers."""
    core = cursor.word.core
    if match := _HEX.fullmatch(core):
        said = " ".join(spell_digits(c) if c.isdigit() else c.upper() for c in match[2])
        return Reading(f"zero {match[1]} {said}")
    if match := _SHORT_VERSION.fullmatch(core):
        return Reading(f"v {whole_number(match[1])}")
    match = _VERSION.fullmatch(core)
    if not match or not (match[1] or match[2].count(".") > 1):
        return None
    if match[7] and match[7] not in _RELEASES:
        return None
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3}){2,}", match[2]) and match[2].count(".") != 3:
        return None  # 1.234.567
    said = ("v " if match[1] else "") + say_dotted(match[2])
    if match[3]:
        said += f" colon {digit_pairs(match[4])}"
    if match[7]:
        spelled = " ".join(match[7].upper()) if len(match[7]) < 3 else match[7]
        said += f" {spelled} {whole_number(match[8]) if match[8] else ''}".rstrip()
    if match[5]:
        said += f" slash {whole_number(match[6])}"
    return Reading(said)
