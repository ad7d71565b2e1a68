"""The voices of several engines as one list.

A voice has its own name there. Where two engines have a voice of the same name, that of the earlier
engine keeps it, and the later one's is `engine/name`. Every voice may also be asked for as
`engine/name` or, in the path of a URL, as `engine:name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from backend.events import Voice
from backend.language_names import primary_subtag
from backend.synthesis.served_engine import ServedEngine


@dataclass(frozen=True, slots=True)
class ListedVoice:
    """`voice`: as it is listed. `name`: the engine's own for it."""

    voice: Voice
    engine: ServedEngine
    name: str

    @property
    def languages(self) -> tuple[str, ...]:
        """In which it speaks; the first is its own."""
        return self.voice.language, *self.voice.other_languages

    def speaks(self, language: str) -> bool:
        """Whether it speaks the language, in whichever region's way."""
        return self.find_tag(language) is not None

    def find_tag(self, language: str) -> str | None:
        """The voice's own tag for a language: of just this region, else of any; None if it does not
        speak it.
        """
        same = [tag for tag in self.languages if primary_subtag(tag) == primary_subtag(language)]
        exact = (tag for tag in same if tag.lower() == language.lower().replace("_", "-"))
        return next(exact, same[0] if same else None)


def list_voices(engines: Iterable[ServedEngine]) -> Iterator[ListedVoice]:
    """All voices that clients may ask for, by engine."""
    taken: set[str] = set()
    for engine in engines:
        own = engine.store.list_voices()
        for voice in own:
            name = f"{engine.info.name}/{voice.name}" if voice.name in taken else voice.name
            shown = replace(voice, name=name, engine=engine.info.name)
            yield ListedVoice(shown, engine, voice.name)
        taken.update(voice.name for voice in own)


def find_listed(name: str, listed: Sequence[ListedVoice]) -> ListedVoice | None:
    """The voice of this name; None if there is none."""
    if found := next((each for each in listed if each.voice.name == name), None):
        return found
    wanted = split_name(name)
    return next((each for each in listed if (each.engine.info.name, each.name) == wanted), None)


def split_name(name: str) -> tuple[str | None, str]:
    """The engine, if the name has one, and the engine's own name for the voice."""
    full = re.fullmatch("(?P<engine>[^/:]+)[/:](?P<own>.+)", name)
    return (full["engine"], full["own"]) if full else (None, name)


def choose_for_language(language: str, listed: Sequence[ListedVoice]) -> ListedVoice | None:
    """The voice of a context that names a language only, if the server's default voice does not
    speak it; None if none does. The first of these that there is, ready voices before those that
    need a download: one of just this region, an engine's default voice, any; earlier engines first.
    """
    speaking = [each for each in listed if each.speaks(language)]

    def rank(each: ListedVoice) -> tuple[bool, bool, bool]:
        return (
            not each.voice.ready,
            language.lower() not in (known.lower() for known in each.languages),
            each.name != each.engine.model.default_voice,
        )

    return min(speaking, key=rank, default=None)
