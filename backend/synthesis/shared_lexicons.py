"""The lexicons in the place that replicas share."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from backend.cluster.shared_entries import DamagedEntry, EntryConflict, SharedEntries, Version
from backend.errors import Overloaded
from backend.synthesis.lexicon_files import (
    LexiconFile,
    check_size,
    parse_file,
    read_changed,
    read_text,
)

log = structlog.get_logger(__name__)

_TRIES = 20  # to change a lexicon that others change at the same time
_LONGEST_PAUSE_S = 0.05


class SharedLexicons:
    """See `LexiconPlace`. A key of several parts is one name: `voices/anna` is `voices=anna`."""

    def __init__(self, entries: SharedEntries, own: Path) -> None:
        """`own`: the folder of this server; its files are shared once, where the store has none."""
        self._entries = entries
        self._own: Path | None = own
        self._damaged: dict[str, Version] = {}  # logged already

    def read_changed(self, known: Mapping[str, LexiconFile]) -> dict[str, LexiconFile]:
        """See `LexiconPlace`. Keeps what is known of a damaged one."""
        versions = self._entries.list_versions()
        if self._own is not None:
            self._share_files(self._own, versions)
            self._own, versions = None, self._entries.list_versions()
        files = {}
        for name, version in versions.items():
            key, old = name.replace("=", "/"), known.get(name.replace("=", "/"))
            if version.is_removed or name.count("=") > 1:
                continue
            if old is None or old.stamp != _stamp(version):
                old = self._read(name, version) or old
            if old is not None:
                files[key] = old
        return files

    def edit(self, key: str, edit: Callable[[str], str]) -> LexiconFile:
        """See `LexiconPlace`. Raises `Overloaded` if others change it all the time."""
        name = _name_of(key)
        for _ in range(_TRIES):
            latest = self._entries.list_versions().get(name)
            try:
                text = edit(self._read_text(name, latest))
                check_size(text)
                version = self._entries.write(name, text.encode(), latest)
            except (EntryConflict, DamagedEntry):
                time.sleep(random.uniform(0, _LONGEST_PAUSE_S))
                continue
            return parse_file(text.encode(), name, _stamp(version))
        raise Overloaded("other servers are changing the same lexicon; try again")

    def delete(self, key: str) -> None:
        """See `LexiconPlace`."""
        name = _name_of(key)
        for _ in range(_TRIES):
            latest = self._entries.list_versions().get(name)
            if latest is None or latest.is_removed:
                return
            try:
                self._entries.remove(name, latest)
            except EntryConflict:
                continue
            return
        raise Overloaded("other servers are changing the same lexicon; try again")

    def _share_files(self, own: Path, versions: Mapping[str, Version]) -> None:
        for key in read_changed(own, {}):
            if (name := _name_of(key)) in versions:
                continue
            try:
                self._entries.write(name, read_text(own, key).encode(), None)
            except EntryConflict:
                continue
            log.info("lexicon.shared", lexicon=key)

    def _read(self, name: str, version: Version) -> LexiconFile | None:
        try:
            return parse_file(self._entries.read(name, version), name, _stamp(version))
        except DamagedEntry as error:
            if self._damaged.get(name) != version:
                log.warning("lexicon.damaged", lexicon=name, why=str(error))
                self._damaged[name] = version
            return None

    def _read_text(self, name: str, latest: Version | None) -> str:
        """The text of the latest version. A damaged one is replaced once it stays so."""
        if latest is None or latest.is_removed:
            return ""
        try:
            return self._entries.read(name, latest).decode("utf-8-sig")
        except (DamagedEntry, UnicodeDecodeError):
            if self._damaged.get(name) != latest:
                self._damaged[name] = latest
                raise DamagedEntry(name) from None
            return ""


def _name_of(key: str) -> str:
    return key.replace("/", "=")


def _stamp(version: Version) -> tuple[int, ...]:
    return version.number, version.size_bytes
