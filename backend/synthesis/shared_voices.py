"""The voices in the place that replicas share: what has changed there, and new ones."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import structlog

from backend.cluster.shared_entries import DamagedEntry, EntryConflict, SharedEntries, Version
from backend.engines.base import SharingModel
from backend.errors import VoiceExists

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """A version of a voice that this server does not have yet. `exported`: None: removed."""

    name: str
    version: Version
    exported: bytes | None


class SharedVoices:
    """The learned voices of one engine. All methods block and raise `StoreUnavailable`."""

    def __init__(self, entries: SharedEntries, model: SharingModel) -> None:
        """Shares also the voices that the model has learned before; where the store has another of
        a name, or one that was removed, that counts.
        """
        self._entries = entries
        self._model = model
        self._held: dict[str, Version] = {}  # versions that the model has, or that are damaged
        self._unshared = [voice.name for voice in model.voices() if voice.learned]
        self._changing = threading.Lock()

    def is_news(self, change: VoiceChange) -> bool:
        """Whether the model has no later version by now. Does not block."""
        held = self._held.get(change.name)
        return held is None or held.number <= change.version.number

    def read_changes(self) -> list[VoiceChange]:
        """What is new in the store; to be accepted by `accept`. Damaged entries are left out."""
        with self._changing:
            changes = []
            versions = self._entries.list_versions()
            while self._unshared:
                self._share(self._unshared[-1], versions)
                self._unshared.pop()
            for name, version in versions.items():
                if self._held.get(name) == version:
                    continue
                if version.is_removed:
                    changes.append(VoiceChange(name, version, None))
                elif (exported := self._read(name, version)) is not None:
                    changes.append(VoiceChange(name, version, exported))
            return changes

    def accept(self, change: VoiceChange) -> None:
        """Have the model know a voice, or, if it was removed, remember that it is gone."""
        with self._changing:
            self._held[change.name] = change.version
            if change.exported is None:
                return
            try:
                self._model.import_voice(change.name, change.exported)
            except Exception as error:  # noqa: BLE001 - whatever is stored disturbs no other voice
                log.warning("voice.unreadable", voice=change.name, why=str(error)[:300])

    def add(self, name: str) -> None:
        """Share a voice that the model has just learned, and hold it as a shared one. Raises
        `VoiceExists` if another server was faster; the model has forgotten it then.
        """
        with self._changing:
            exported = self._model.export_voice(name)
            self._model.forget(name)  # from its own disk: what is shared is in the store only
            latest = self._entries.list_versions().get(name)
            if latest is not None and not self._may_replace(name, latest):
                raise _exists(name)
            try:
                self._held[name] = self._entries.write(name, exported, latest)
            except EntryConflict as error:
                raise _exists(name) from error
            self._model.import_voice(name, exported)

    def remove(self, name: str) -> None:
        """Remove a voice for all servers; does nothing if another has just done so."""
        with self._changing:
            latest = self._entries.list_versions().get(name)
            if latest is None or latest.is_removed:
                return
            try:
                self._held[name] = self._entries.remove(name, latest)
            except EntryConflict:
                log.info("voice.changed_meanwhile", voice=name)

    def _share(self, name: str, versions: dict[str, Version]) -> None:
        """Share a voice of this server's own disk, if there is and was none of the name."""
        exported, latest = self._model.export_voice(name), versions.get(name)
        if latest is not None:
            if not latest.is_removed and self._read(name, latest) == exported:
                self._held[name] = latest
            return
        try:
            self._held[name] = self._entries.write(name, exported, None)
        except EntryConflict:  # the next look finds it
            return
        log.info("voice.shared", voice=name)

    def _may_replace(self, name: str, latest: Version) -> bool:
        """Whether a version counts as none: removed or damaged."""
        return latest.is_removed or self._read(name, latest) is None

    def _read(self, name: str, version: Version) -> bytes | None:
        try:
            return self._entries.read(name, version)
        except DamagedEntry as error:
            log.warning("voice.damaged", voice=name, why=str(error))
            self._held[name] = version  # a version of another size is read again
            return None


def _exists(name: str) -> VoiceExists:
    return VoiceExists(
        f"another server has just learned a voice {name!r}; remove it or take another name"
    )
