"""Finds where speech may pause in a sentence that is slowly being written.

A person writes slower than speech: playback runs dry however the text is cut. It is then spoken in
phrases, which end where a reader might pause, never on a word bound to the next one ("the", "of",
"was"), and never inside a name or a number with its unit ("Buy 5 | kg", "July | 4"). The words are
those of English; the marks are those of all languages. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Determiners, prepositions, conjunctions, auxiliaries, subjects, adverbs of degree, titles: bound
# to the next word, so none of these ends a phrase.
_BOUND_WORDS = _words(
    """
    a an the this these those my your his her its our their some any no every each either neither
    of to in on at by for from with about into onto over under after before between through during
    without within against among around behind below beneath beside beyond near off across along
    past since until till upon than as like per via toward towards despite except
    and or but nor so yet if when while because although though unless whether where which who whom
    whose what how why that
    i we he she they
    am is are was were be been being do does did have has had having will would shall should can
    could may might must cannot let lets
    very too more most less least just only also even quite rather really such both all half another
    other few several next last first not almost about nearly
    mr mrs ms dr prof st sir mount lake fort new san los saint general captain
    january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec page chapter number no nr room version world
    """
)
_CLITIC = re.compile(r"(n't|'(m|re|s|ve|ll|d))$")
# Words without a stress of their own.
_UNSTRESSED = _BOUND_WORDS | _words(
    """
    me him us them you it there here too then now up out down away back off again please one ones
    """
)
PAUSE_MARKS = "،؛、，；：·՝፣፤፥၊﹐﹑﹔﹕"
"""Commas and the like of other scripts; none is used for anything else."""
FULL_STOPS = "؟۔。！？｡।॥։፧።፨။។៕།༎"
"""Full stops and the like of other scripts."""
CLOSING = "\"'”’“‘»«›‹)\\]}」』）》〉】"
"""Closing marks in a regular expression's class: what opens in one language closes in another."""
# Thai and Lao have no mark but the space, which ends a phrase.
_MARK = re.compile(
    rf"[,;:.!?…—–)\]{PAUSE_MARKS}{FULL_STOPS}][{CLOSING}]*\s*$"
    "|[\u0e01-\u0e4e\u0e81-\u0ece]\\s+$"
)
_NOT_LETTERS = re.compile(r"[^\w']+")

_SUBJECTS = _words("you it there this that")  # may also begin the next phrase

_ENOUGH = 2  # stressed words in a phrase; the first phrase and long ones need only one
_LONG = 20  # characters of a long phrase; it ends at an earlier boundary, if there is one
_SHORT = 8  # characters that must precede that boundary


def phrase_end(text: str, spoken: int, ends: Sequence[int], *, first: bool) -> int:
    """The end of the last complete phrase in `text`; `spoken` if there is none.

    `ends`: the ends of the finished words, spaces included. `first`: nothing was spoken yet; then
    the phrase is short and the word behind it need not be known.
    """
    ends = [end for end in ends if end > spoken]
    while end := _next_phrase_end(text, spoken, ends, first=first):
        spoken, first = end, False
        ends = [later for later in ends if later > end]
    return spoken


def _next_phrase_end(text: str, spoken: int, ends: Sequence[int], *, first: bool) -> int:
    """The end of the phrase that begins at `spoken`; 0 while it is not complete."""
    stressed, start, boundary = 0, spoken, 0
    for n, end in enumerate(ends, 1):
        word, start = text[start:end], end
        stressed += is_stressed(word)
        if ends_with_mark(word):
            return end
        may_end = (
            stressed
            and not is_bound_to_next(word, text[end:])
            and _normalise_word(word) not in _SUBJECTS
        )
        if may_end and first:
            return end
        if may_end and n < len(ends) and not is_stressed(text[end : ends[n]]):
            if stressed >= _ENOUGH:
                return end
            boundary = end
        if end - spoken >= _LONG and boundary - spoken >= _SHORT:
            return boundary
        if end - spoken >= _LONG and may_end:
            return end
    return 0


def pause_end(text: str, spoken: int, ends: Sequence[int]) -> int:
    """As `phrase_end` when the input pauses: any word not bound to the next ends a phrase."""
    for end in reversed([end for end in ends if end > spoken]):
        start = max([spoken, *(other for other in ends if other < end)])
        word = text[start:end]
        if ends_with_mark(word) or not is_bound_to_next(word, text[end:]):
            return end
    return spoken


def is_stressed(word: str) -> bool:
    """Whether the word carries a stress of its own."""
    bare = _normalise_word(word)
    return bool(bare) and bare not in _UNSTRESSED and _CLITIC.sub("", bare) not in _UNSTRESSED


def is_bound_to_next(word: str, following: str) -> bool:
    """Whether the word is bound to the one behind it, of which `following` is known."""
    bare = _normalise_word(word)
    if not bare or bare in _BOUND_WORDS or _CLITIC.search(bare):
        return True
    if any(map(str.isdigit, bare)) or word.strip()[-1:] in "$€£#&@/+-=":
        return True
    # A name may continue: "World War II", "New York".
    return word.strip()[:1].isupper() and not following.strip()[:1].islower()


def ends_with_mark(word: str) -> bool:
    """Whether punctuation behind the word ends a phrase; the dots of "Dr.", "e.g.", "3." do not."""
    stripped, bare = word.strip(), _normalise_word(word)
    if not _MARK.search(word) or (stripped[-1] in ".:" and stripped[-2:-1].isdigit()):
        return False
    return not (stripped.endswith(".") and (len(bare) < 3 or bare in _BOUND_WORDS))


def _normalise_word(word: str) -> str:
    return _NOT_LETTERS.sub("", word.replace("’", "'")).strip("'").lower()
