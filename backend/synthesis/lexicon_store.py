"""The lexicons of a server: what applies to a context, and their changes."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Self

import structlog

from backend.errors import BadLexicon, Overloaded, StoreUnavailable, UnknownLexicon
from backend.synthesis.lexicon_files import (
    DICTIONARIES,
    MOST_FILES,
    NO_FILE,
    SERVER,
    VOICES,
    LexiconFile,
    LexiconFolder,
    LexiconPlace,
    check_name,
)
from backend.text.reading.lexicon import Lexicon
from backend.text.reading.lexicon_entry import LexiconEntry
from backend.text.reading.lexicon_text import (
    add_entries,
    parse_entry,
    parse_lexicon,
    remove_entries,
)

log = structlog.get_logger(__name__)

MOST_ADDITIONS = 200  # entries of a context
MOST_CHOSEN = 10  # dictionaries of a context
_LOOK_S = 1.0  # between looks at the files
_LONGEST_HEADING = 500


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A stored lexicon that contexts ask for by its id. `created_s`: Unix time."""

    id: str
    name: str
    description: str
    created_s: int
    version: str
    lexicon: Lexicon


class LexiconStore:
    """Lives on one event loop; files are read and written on threads. `async with` it: reads the
    files, and looks for changes once a second. Without a place it has no entries.
    """

    def __init__(self, place: LexiconPlace | Path | None = None) -> None:
        self._place = LexiconFolder(place) if isinstance(place, Path) else place
        self._files: dict[str, LexiconFile] = {}
        self._writing = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.read_changed_files()
        self._watch = asyncio.create_task(self._watch_files(), name="lexicons")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watch is not None
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)

    # --- for contexts -----------------------------------------------------------------------------

    def lexicon_for(
        self,
        voice: str,
        additions: Mapping[str, str] | None = None,
        dictionaries: Sequence[str] | None = None,
    ) -> Lexicon:
        """What applies now: a context's additions before its dictionaries (the first one first),
        those before the voice's entries, those before the server's. Cheap: ask again before each
        sentence. Raises `BadLexicon`, `UnknownLexicon`.
        """
        lexicons = []
        if additions:
            if len(additions) > MOST_ADDITIONS:
                raise BadLexicon(f"lexicon: expected at most {MOST_ADDITIONS} entries")
            lexicons.append(_parse_additions(tuple(additions.items())))
        if dictionaries and len(dictionaries) > MOST_CHOSEN:
            raise BadLexicon(f"dictionaries: expected at most {MOST_CHOSEN}")
        lexicons += [self._require_dictionary(id_).lexicon for id_ in dictionaries or ()]
        for key in (f"{VOICES}/{voice}", SERVER):
            if (file := self._files.get(key)) is not None:
                lexicons.append(file.lexicon)
        return Lexicon.combine(lexicons) if len(lexicons) != 1 else lexicons[0]

    # --- the server's and the voices' -------------------------------------------------------------

    def get_file(self, voice: str | None) -> LexiconFile:
        """The entries of a voice; None: the server's."""
        return self._files.get(_key_of(voice), NO_FILE)

    async def add_entries(self, voice: str | None, entries: Iterable[LexiconEntry]) -> None:
        """Add entries, in the place of those for the same words. Raises `BadLexicon`."""
        new = list(entries)
        await self._edit(_key_of(voice), lambda text: add_entries(text, new))

    async def remove_entry(self, voice: str | None, written: str) -> None:
        """Remove what is said for `written`. Raises `UnknownLexicon` if there is nothing."""

        def edit(text: str) -> str:
            text, count = remove_entries(text, written)
            if not count:
                raise UnknownLexicon(
                    f"no entry for {written[:40]!r}; GET /v1/lexicon lists the entries"
                )
            return text

        await self._edit(_key_of(voice), edit)

    async def forget_voice(self, voice: str) -> None:
        """Delete the entries of a voice that is removed."""
        if (key := f"{VOICES}/{voice}") in self._files:
            await self._delete(key)

    # --- dictionaries -----------------------------------------------------------------------------

    def list_dictionaries(self) -> list[Dictionary]:
        """All dictionaries, oldest first."""
        prefix = f"{DICTIONARIES}/"
        ids = [key.removeprefix(prefix) for key in self._files if key.startswith(prefix)]
        return sorted(map(self.get_dictionary, ids), key=lambda d: (d.created_s, d.id))

    def get_dictionary(self, id_: str) -> Dictionary:
        """Raises `UnknownLexicon`."""
        file = self._require_dictionary(id_)
        heading, created_s = file.headings.get, 0
        with suppress(ValueError):  # a file that was written by hand
            created_s = int(datetime.fromisoformat(heading("created", "")).timestamp())
        name, description = heading("name", id_), heading("description", "")
        return Dictionary(id_, name, description, created_s, file.version, file.lexicon)

    async def create_dictionary(
        self, name: str, description: str, entries: Iterable[LexiconEntry]
    ) -> Dictionary:
        """Store a new dictionary. Raises `BadLexicon`, `Overloaded` if there are too many."""
        if sum(key.startswith(DICTIONARIES) for key in self._files) >= MOST_FILES:
            raise Overloaded(f"there are {MOST_FILES} dictionaries; delete unused ones")
        id_ = secrets.token_hex(10)
        head = _format_headings(name, description, datetime.now(UTC))
        await self._edit(f"{DICTIONARIES}/{id_}", lambda _: add_entries(head, entries))
        return self.get_dictionary(id_)

    async def change_dictionary(
        self,
        id_: str,
        change: Callable[[list[LexiconEntry]], Iterable[LexiconEntry]] = lambda entries: entries,
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> Dictionary:
        """Replace its entries by those that `change` returns. Raises `UnknownLexicon`,
        `BadLexicon`.
        """
        old = self.get_dictionary(id_)
        head = _format_headings(
            old.name if name is None else name,
            old.description if description is None else description,
            datetime.fromtimestamp(old.created_s, UTC),
        )

        def edit(text: str) -> str:
            return add_entries(head, change(parse_lexicon(text)[0]))

        await self._edit(f"{DICTIONARIES}/{id_}", edit)
        return self.get_dictionary(id_)

    async def delete_dictionary(self, id_: str) -> None:
        """Raises `UnknownLexicon`."""
        self._require_dictionary(id_)
        await self._delete(f"{DICTIONARIES}/{id_}")

    def _require_dictionary(self, id_: str) -> LexiconFile:
        if (file := self._files.get(f"{DICTIONARIES}/{id_}")) is None:
            raise UnknownLexicon(f"no pronunciation dictionary {id_[:40]!r}")
        return file

    # --- files ------------------------------------------------------------------------------------

    async def read_changed_files(self) -> None:
        """Read the files that have changed. Keeps what was read if their place is unreadable."""
        if self._place is None:
            return
        async with self._writing:
            try:
                self._files = await asyncio.to_thread(self._place.read_changed, self._files)
            except OSError as error:
                log.warning("lexicon.unreadable", place=str(self._place), why=error.strerror)
            except StoreUnavailable:
                pass  # it has been logged

    async def look_for(self, dictionaries: Sequence[str] | None) -> None:
        """Before dictionaries count as unknown: look whether another server has created them
        meanwhile. Returns at once if they are known.
        """
        if self._place is None or isinstance(self._place, LexiconFolder):
            return
        if any(f"{DICTIONARIES}/{id_}" not in self._files for id_ in dictionaries or ()):
            await self.read_changed_files()

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.read_changed_files()

    async def _edit(self, key: str, edit: Callable[[str], str]) -> None:
        place = self._require_place()
        async with self._writing:
            written = await asyncio.to_thread(place.edit, key, edit)
            self._files = {**self._files, key: written}

    async def _delete(self, key: str) -> None:
        async with self._writing:
            await asyncio.to_thread(self._require_place().delete, key)
            self._files = {k: file for k, file in self._files.items() if k != key}

    def _require_place(self) -> LexiconPlace:
        if self._place is None:
            raise BadLexicon("this server has no folder for lexicons")
        return self._place


def _key_of(voice: str | None) -> str:
    return SERVER if voice is None else f"{VOICES}/{check_name(voice)}"


def _format_headings(name: str, description: str, created: datetime) -> str:
    lines = {"name": name, "description": description, "created": created.isoformat("T", "seconds")}
    one_line = {key: re.sub(r"\s+", " ", value).strip() for key, value in lines.items()}
    return "".join(
        f"# {key}: {value[:_LONGEST_HEADING]}\n" for key, value in one_line.items() if value
    )


@lru_cache(256)
def _parse_additions(additions: tuple[tuple[str, str], ...]) -> Lexicon:
    return Lexicon(parse_entry(written, said) for written, said in additions)
