"""Languages by tags and names: whether `ar`, `ar_JO`, "arabic" or "العربية" is a voice's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from babel import Locale, UnknownLocaleError

_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9-]+)?", re.ASCII)
_LONGEST = 80  # of what is asked for
# Codes of the same language: engines, espeak-ng and the tables here use different ones.
_CANONICAL_CODES = {"nb": "no", "nn": "no", "cmn": "zh", "iw": "he", "in": "id", "tl": "fil"}


def primary_subtag(tag: str) -> str:
    """The language of a tag, without region or script: `en` of "en-GB" and "en_GB". One code for
    each language: `no` of "nb".
    """
    code = _normalize(tag.strip()).partition("-")[0]
    return _CANONICAL_CODES.get(code, code)


def speaks(tags: Iterable[str], wanted: str) -> bool:
    """Whether one of the languages (tags) is the wanted one: a tag, or a name in English or in the
    language itself. Without a region all of them match, as does a language of no region.
    """
    sought = _normalize(wanted.strip()[:_LONGEST])
    return bool(sought) and any(_is_tag(tag, sought) or _is_name(tag, sought) for tag in tags)


@lru_cache(maxsize=1024)
def language_names(tag: str) -> tuple[str, ...]:
    """The names of a tag's language with its region, in English and in the language itself: "Arabic
    (Jordan)"; the tag if it is unknown.
    """
    for known in (_normalize(tag), primary_subtag(tag)):
        try:
            locale = Locale.parse(known, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
        names = locale.get_display_name("en"), locale.get_display_name()
        return tuple(name for name in names if name)
    return (tag,)


def _is_tag(tag: str, sought: str) -> bool:
    if not _TAG.fullmatch(sought) or primary_subtag(tag) != primary_subtag(sought):
        return False
    region, sought_region = (_normalize(each).partition("-")[2] for each in (tag, sought))
    return not region or not sought_region or region == sought_region


def _is_name(tag: str, sought: str) -> bool:
    """Whether a word of a name begins like this; two letters are a tag."""
    if len(sought) < 3 and sought.isascii():
        return False
    begins = re.compile(rf"\b{re.escape(sought)}")
    return any(begins.search(_normalize(name)) for name in language_names(tag))


def _normalize(text: str) -> str:
    return text.replace("_", "-").casefold()
