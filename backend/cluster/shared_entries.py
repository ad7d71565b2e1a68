"""A place that several servers share: a directory, or an object store's URL (fsspec).

An entry is a row of numbered versions, `NAME~00000007` in the folder of its kind. A change creates
the next number, which only one writer can; the highest number counts, and older ones are deleted
afterwards. So a reader never sees half an entry, and of two writers one is told that it lost. A
removal is a version, too: a replica that was away learns of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from backend.errors import ConfigError, StoreUnavailable

log = structlog.get_logger(__name__)

_FILE = re.compile(r"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.=-]{0,159})~(?P<number>\d{8})", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9-]{0,63}")
_REMOVED = b"removed\n"  # shorter than any entry
_DIGEST_BYTES = hashlib.sha256().digest_size
_LARGEST_BYTES = 64 << 20


class EntryConflict(Exception):
    """Another server has changed the entry meanwhile."""


class DamagedEntry(Exception):
    """What is stored is not what was written; it may still be on its way."""


@dataclass(frozen=True, slots=True)
class Version:
    """The latest version of an entry. Versions that differ have different contents."""

    number: int
    size_bytes: int

    @property
    def is_removed(self) -> bool:
        """Whether this version says that there is no such entry any more."""
        return self.size_bytes == len(_REMOVED)


class SharedEntries:
    """The entries of one kind. All methods block and raise `StoreUnavailable`; threads may call
    them at the same time.
    """

    def __init__(self, url: str, kind: str) -> None:
        """`kind`: names their folder. Raises `ConfigError` if fsspec does not know the URL's
        protocol. Does not ask the store.
        """
        assert _KIND.fullmatch(kind), kind
        self._files, root = _open_file_system(url)
        self._folder = f"{root.rstrip('/')}/{kind}"
        self._is_local = "file" in _protocols(self._files)
        self._is_available = True

    def list_versions(self) -> dict[str, Version]:
        """The latest version of each entry by name, removed ones too. Other files are ignored."""
        found: dict[str, Version] = {}
        for file, number, size_bytes in self._list_files():
            if file not in found or number > found[file].number:
                found[file] = Version(number, size_bytes)
        return found

    def read(self, name: str, version: Version) -> bytes:
        """The content of a version. Raises `DamagedEntry`, also if it has been replaced."""
        if not _DIGEST_BYTES <= version.size_bytes <= _LARGEST_BYTES:
            raise DamagedEntry(f"{version.size_bytes} bytes")
        try:
            stored = bytes(self._files.cat_file(self._path(name, version.number)))
        except FileNotFoundError as error:
            raise DamagedEntry("replaced meanwhile") from error
        except Exception as error:
            raise self._unavailable(error) from error
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise DamagedEntry("its checksum is wrong")
        return content

    def write(self, name: str, content: bytes, after: Version | None) -> Version:
        """Store a new version of an entry whose latest was `after` (None: there was none). Raises
        `EntryConflict`.
        """
        return self._add(name, hashlib.sha256(content).digest() + content, after)

    def remove(self, name: str, after: Version) -> Version:
        """Remove an entry whose latest version was `after`. Raises `EntryConflict`."""
        return self._add(name, _REMOVED, after)

    # --- internals --------------------------------------------------------------------------------

    def _add(self, name: str, stored: bytes, after: Version | None) -> Version:
        number = after.number + 1 if after else 1
        path = self._path(name, number)
        try:
            self._create(path, stored)
        except FileExistsError as error:
            raise EntryConflict(name) from error
        except Exception as error:
            raise self._unavailable(error) from error
        numbers = [n for file, n, _ in self._list_files() if file == name]
        if max(numbers, default=number) > number:  # this number had been used and cleared away
            self._delete(path)
            raise EntryConflict(name)
        for old in numbers:
            if old < number:
                self._delete(self._path(name, old))
        return Version(number, len(stored))

    def _create(self, path: str, stored: bytes) -> None:
        """Create a file in one step. Raises `FileExistsError`."""
        if self._is_local:
            _create_local(Path(path), stored)
        else:
            self._files.pipe_file(path, stored, mode="create")

    def _delete(self, path: str) -> None:
        """Delete a version that no longer counts; another server may have done so already."""
        try:
            self._files.rm_file(path)
        except Exception as error:  # noqa: BLE001 - it only takes up space
            log.debug("store.not_cleared", file=path, why=str(error))

    def _list_files(self) -> list[tuple[str, int, int]]:
        """The names, numbers and sizes of all versions."""
        try:
            self._files.invalidate_cache()
            files = self._files.ls(self._folder, detail=True)
        except FileNotFoundError:
            files = []
        except Exception as error:
            raise self._unavailable(error) from error
        if not self._is_available:
            log.info("store.available", folder=self._folder)
            self._is_available = True
        matches = ((_FILE.fullmatch(_last_part(each["name"])), each) for each in files)
        return [
            (match["name"], int(match["number"]), int(each.get("size") or 0))
            for match, each in matches
            if match and each.get("type") == "file"
        ]

    def _path(self, name: str, number: int) -> str:
        path = f"{name}~{number:08d}"
        if not _FILE.fullmatch(path):
            raise StoreUnavailable(f"{name[:40]!r} cannot name a shared entry")
        return f"{self._folder}/{path}"

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if self._is_available:
            log.warning("store.unavailable", folder=self._folder, why=str(error)[:300])
            self._is_available = False
        return StoreUnavailable(
            "the store that the replicas share (cluster.store) does not answer; try again in a "
            "moment, and see the server's log"
        )


def _open_file_system(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(
            "cluster.store needs the package fsspec: pip install 'duplex-tts[cluster]'"
        ) from error
    try:
        files, root = url_to_fs(os.path.expanduser(url), use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"cluster.store: {error}; expected a directory, or a URL such as s3://bucket/folder "
            "whose file system's package is installed (s3fs for s3)"
        ) from error
    return files, str(root)


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _last_part(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _create_local(path: Path, stored: bytes) -> None:
    """Write a file beside, then give it its name: a link fails if there is one already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path.parent} is not a directory") from error
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-") as file:
        file.write(stored)
        file.flush()
        os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.link(file.name, path)
