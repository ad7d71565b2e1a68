"""Where speech may pause in an English sentence that is slowly being written.

A person writes slower than speech: the listener runs dry however the text is cut. It then hears
phrases, which end where a reader might pause, never on a word that leans on the next one ("the",
"of", "was"), and never inside a name, a number or what belongs to it ("Buy 5 | kg", "July | 4").
Plain and synchronous.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Determiners, prepositions, conjunctions, auxiliaries, subjects, adverbs of degree, titles: none of
# these ends a phrase.
_LEANING = _words(
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
# Words that carry no stress of their own: they are not what a phrase is about.
_LIGHT = _LEANING | _words(
    """
    me him us them you it there here too then now up out down away back off again please one ones
    """
)
_MARK = re.compile(r"""[,;:.!?…—–)\]]["'”’)\]]*\s*$""")
_NOT_LETTERS = re.compile(r"[^\w']+")

_SUBJECTS = _words("you it there this that")  # may as well begin what comes next

_ENOUGH = 2  # words that carry stress, in a phrase; one is enough for the first phrase,
_LONG = 20  # and for one of so many characters,
_SHORT = 8  # which ends at a joint within it, if enough is before that


def phrase_end(text: str, spoken: int, ends: Sequence[int], *, first: bool) -> int:
    """The end of the last phrase that is complete in `text`; `spoken` where there is none.

    `ends`: where the finished words end, spaces included. `first`: nothing was heard yet; then the
    phrase is short and the word behind it need not be known.
    """
    ends = [end for end in ends if end > spoken]
    while end := _next_end(text, spoken, ends, first=first):
        spoken, first = end, False
        ends = [later for later in ends if later > end]
    return spoken


def _next_end(text: str, spoken: int, ends: Sequence[int], *, first: bool) -> int:
    """The end of the phrase that begins at `spoken`; 0 while it is not complete."""
    stressed, start, joint = 0, spoken, 0
    for n, end in enumerate(ends, 1):
        word, start = text[start:end], end
        stressed += is_stressed(word)
        if ends_with_mark(word):
            return end
        may_end = stressed and not leans(word, text[end:]) and _bare(word) not in _SUBJECTS
        if may_end and first:
            return end
        if may_end and n < len(ends) and not is_stressed(text[end : ends[n]]):
            if stressed >= _ENOUGH:
                return end
            joint = end
        if end - spoken >= _LONG and joint - spoken >= _SHORT:
            return joint
        if end - spoken >= _LONG and may_end:
            return end
    return 0


def pause_end(text: str, spoken: int, ends: Sequence[int]) -> int:
    """As `phrase_end` for a writer who pauses: any word that does not lean ends a phrase."""
    for end in reversed([end for end in ends if end > spoken]):
        before = max([spoken, *(other for other in ends if other < end)])
        word = text[before:end]
        if ends_with_mark(word) or not leans(word, text[end:]):
            return end
    return spoken


def is_stressed(word: str) -> bool:
    """Whether a phrase may be about the word."""
    bare = _bare(word)
    return bool(bare) and bare not in _LIGHT and _CLITIC.sub("", bare) not in _LIGHT


def leans(word: str, following: str) -> bool:
    """Whether the word belongs to the one behind it, as far as that is written."""
    bare = _bare(word)
    if not bare or bare in _LEANING or _CLITIC.search(bare):
        return True
    if any(map(str.isdigit, bare)) or word.strip()[-1:] in "$€£#&@/+-=":
        return True
    # A name may go on: "World War II", "New York". What follows tells.
    return word.strip()[:1].isupper() and not following.strip()[:1].islower()


def ends_with_mark(word: str) -> bool:
    """Whether punctuation ends a phrase behind the word; the dots of "Dr.", "e.g.", "3." do not."""
    stripped, bare = word.strip(), _bare(word)
    if not _MARK.search(stripped) or (stripped[-1] in ".:" and stripped[-2:-1].isdigit()):
        return False
    return not (stripped.endswith(".") and (len(bare) < 3 or bare in _LEANING))


def _bare(word: str) -> str:
    return _NOT_LETTERS.sub("", word.replace("’", "'")).strip("'").lower()
