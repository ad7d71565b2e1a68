"""Fetches Piper's voices and their catalogue from the hub or a mirror of it.

A voice appears in the folder at once and complete: its files are fetched and checked under
temporary names, then moved, the model last.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import quote

import httpx
import structlog
from filelock import FileLock, Timeout

from backend.engines.file_download import (
    TIMEOUT_S,
    Progress,
    RemoteFile,
    explain_failures,
    fetch_part,
    move_into_place,
    remove_parts,
)
from backend.engines.piper.catalogue import (
    FILE_NAME,
    LARGEST_BYTES,
    Catalogue,
    CatalogueVoice,
    load_catalogue,
    parse_catalogue,
    shipped_catalogue,
)
from backend.errors import ConfigError, DownloadFailed, UnknownVoice

log = structlog.get_logger(__name__)

_HUB = "https://huggingface.co"
_REPOSITORY = "rhasspy/piper-voices/resolve/main"
_CATALOGUE_S = 60.0  # for all of it
_INSTALLED = re.compile(r"\w[\w-]*")  # a file's name without its ending
_LICENCE = re.compile(
    r"^\W*licen[sc]e\W*:\s*(?P<licence>[^\n]{1,200})", re.IGNORECASE | re.MULTILINE
)


def base_address(mirror: str) -> str:
    """Where the files of the repository are: `engine.piper_mirror`, else those of the hub (or the
    one that HF_ENDPOINT names). Raises `ConfigError`.
    """
    address = mirror or f"{os.environ.get('HF_ENDPOINT') or _HUB}".rstrip("/") + f"/{_REPOSITORY}"
    if not re.match(r"https?://[^/\s]", address):
        raise ConfigError(
            f"engine.piper_mirror: expected an address such as https://host/piper-voices, the "
            f"folder that has {FILE_NAME}; got {address[:80]!r}"
        )
    return address.rstrip("/")


@dataclass(frozen=True, slots=True)
class VoiceDownloads:
    """`folder`: of Piper's voices. `base`: see `base_address`."""

    folder: Path
    base: str

    def load_catalogue(self) -> Catalogue:
        """See `catalogue.load_catalogue`."""
        return load_catalogue(self.folder)

    def sample_address(self, voice: CatalogueVoice) -> str:
        """Where a sample of the voice can be heard."""
        return f"{self.base}/{quote(voice.sample_path)}"

    def find(self, name: str) -> CatalogueVoice:
        """The voice of this name, in whichever case. Raises `UnknownVoice` with similar ones."""
        catalogue = self.load_catalogue()
        by_name = {each.casefold(): voice for each, voice in catalogue.items()}
        wanted = name[:200].casefold().replace("-", "_", 1) if "_" not in name else name.casefold()
        if found := catalogue.get(name) or by_name.get(wanted):
            return found
        near = [voice.name for voice in catalogue.values() if voice.speaks(name)][:8]
        near = near or [by_name[each].name for each in get_close_matches(wanted, by_name, 5)]
        raise UnknownVoice(
            f"no voice {name[:80]!r} in the catalogue"
            + (f"; did you mean {', '.join(near)}?" if near else "")
            + "; `duplex-tts voices available` lists them, `duplex-tts voices refresh` fetches a "
            "newer catalogue"
        )

    def get(self, voice: CatalogueVoice, progress: Progress) -> bool:
        """Fetch what is missing of a voice or differs. Blocks (minutes). Returns whether anything
        had to be fetched. Raises `DownloadFailed`.
        """
        again = f"run `duplex-tts voices get {voice.name}` again: it resumes where it stopped"
        with self._explain(again), self._lock(voice.name):
            remotes = [
                RemoteFile(file.name, f"{self.base}/{quote(file.path)}", file.size_bytes, file.md5)
                for file in voice.files
            ]
            missing = [file for file in remotes if not file.is_at(self.folder / file.name)]
            parts = list(self._fetch_parts(voice, missing, progress))
            for file, part in parts:
                move_into_place(file, part, self.folder)
            return bool(parts)

    def _fetch_parts(
        self, voice: CatalogueVoice, missing: Sequence[RemoteFile], progress: Progress
    ) -> Iterator[tuple[RemoteFile, Path]]:
        """The checked files under their temporary names. A voice speaks without its card, which a
        mirror may lack and the hub edits: then its licence stays unknown.
        """
        for file in missing:
            try:
                yield file, fetch_part(file, self.folder, progress)
            except (DownloadFailed, httpx.HTTPStatusError, httpx.RemoteProtocolError) as error:
                if voice.card is None or file.name != voice.card.name:
                    raise
                log.info("voice.no_card", voice=voice.name, why=str(error)[:200])

    def remove(self, name: str) -> int:
        """Remove an installed voice. Returns the bytes freed. Raises `UnknownVoice`,
        `DownloadFailed` (the disk, a download of it in progress).
        """
        installed = self.list_installed()
        if name not in installed:
            known = ", ".join(installed) or "none"
            raise UnknownVoice(f"no voice {name[:80]!r} in {self.folder}; there are: {known}")
        with self._explain("try again"), self._lock(name):
            freed = 0
            for ending in (
                ".onnx",
                ".onnx.json",
                ".MODEL_CARD",
            ):  # the model first: then it is gone
                path = self.folder / (name + ending)
                freed += path.stat().st_size if path.exists() else 0
                path.unlink(missing_ok=True)
                remove_parts(name + ending, self.folder)
            return freed

    def list_installed(self) -> list[str]:
        """The names of the voices in the folder, of the catalogue or not."""
        if not self.folder.is_dir():
            return []
        names = sorted(path.stem for path in self.folder.glob("*.onnx"))
        return [
            name
            for name in names
            if _INSTALLED.fullmatch(name) and (self.folder / f"{name}.onnx.json").is_file()
        ]

    def find_licence(self, voice: CatalogueVoice) -> str:
        """What the catalogue states, else the card of the installed voice; "" if neither does."""
        if voice.licence or voice.card is None:
            return voice.licence
        card = self.folder / voice.card.name
        text = card.read_text("utf-8", "replace")[:10_000] if card.is_file() else ""
        stated = _LICENCE.search(text)
        return "".join(filter(str.isprintable, stated["licence"])).strip() if stated else ""

    def refresh(self) -> tuple[Catalogue, Catalogue]:
        """Fetch the hub's catalogue and store it. Returns the one before, and the new one. Raises
        `DownloadFailed`; then the one before is kept.
        """
        before = self.load_catalogue()
        kept = "the catalogue that was there is kept"
        with self._explain(f"{kept}; try again later"):
            data = self._fetch_catalogue()
            try:
                after = parse_catalogue(data, shipped_catalogue())
            except ValueError as error:
                raise DownloadFailed(
                    f"what {self.base}/{FILE_NAME} answers is no catalogue of voices "
                    f"({str(error)[:100]}); {kept}; check engine.piper_mirror"
                ) from error
            with self._lock(FILE_NAME):
                part = self.folder / f"{FILE_NAME}.part"
                part.write_bytes(data)
                part.replace(self.folder / FILE_NAME)
        return before, after

    def _fetch_catalogue(self) -> bytes:
        data, until_s = bytearray(), time.monotonic() + _CATALOGUE_S
        address = f"{self.base}/{FILE_NAME}"
        with httpx.stream("GET", address, follow_redirects=True, timeout=TIMEOUT_S) as answer:
            answer.raise_for_status()
            for block in answer.iter_bytes():
                data += block
                if len(data) > LARGEST_BYTES:
                    break  # refused as too large
                if time.monotonic() > until_s:
                    raise httpx.ReadTimeout(f"it took more than {_CATALOGUE_S:.0f} s")
        return bytes(data)

    def _explain(self, remedy: str) -> AbstractContextManager[None]:
        denied = (
            "set engine.piper_mirror (or HF_ENDPOINT) to an address that has Piper's voices; if it "
            "has others by now: `duplex-tts voices refresh`"
        )
        return explain_failures(self.base, remedy, denied)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Keep other processes from the same files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / f".{name}.lock", blocking=False):
                yield
        except Timeout as error:
            raise DownloadFailed(
                f"{name} is being changed by another program; wait for it"
            ) from error
