"""Downloads of files whose size and digest are known beforehand.

A file is written to a temporary name, checked, and only then moved into place. An interrupted
download resumes where it stopped.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.errors import DownloadFailed

TIMEOUT_S = 20.0
_BLOCK_BYTES = 1 << 20
_ATTEMPTS = 5  # in a row that received less than `_PROGRESS_BYTES`
_PROGRESS_BYTES = 1 << 15
_SLOWEST_BYTES_S = 1000  # on average over `_SLOW_S`; less counts as a broken connection
_SLOW_S = 30.0
_BACKOFF_S = 0.5  # before the second attempt; doubled for each further one
_PART = ".part"
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)", re.ASCII)

Progress = Callable[[str, int, int], None]
"""Called with a file's name, its bytes so far and its total bytes; may raise to stop."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to fetch from `url`; `digest` in hexadecimal: a SHA-256, the SHA-1 by which git names
    a blob, or an MD5, told apart by their lengths.
    """

    name: str
    url: str
    size_bytes: int
    digest: str

    def is_at(self, path: Path) -> bool:
        """Whether `path` has this size and digest. Blocks: reads the whole file."""
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        found = self._create_hash()
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                found.update(block)
        return found.hexdigest() == self.digest

    def _create_hash(self) -> hashlib._Hash:
        if len(self.digest) == 64:
            return hashlib.sha256()
        if len(self.digest) == 32:
            return hashlib.md5(usedforsecurity=False)
        return hashlib.sha1(f"blob {self.size_bytes}\0".encode(), usedforsecurity=False)


def download_file(
    file: RemoteFile, folder: Path, progress: Progress, headers: Mapping[str, str] | None = None
) -> None:
    """Download one file, check it and move it into place. Blocks. Raises `DownloadFailed` and what
    `explain_failures` explains.
    """
    move_into_place(file, fetch_part(file, folder, progress, headers), folder)


def fetch_part(
    file: RemoteFile, folder: Path, progress: Progress, headers: Mapping[str, str] | None = None
) -> Path:
    """As `download_file`, but return the checked file under its temporary name."""
    # The digest is in the name, so that another version's partial file is not resumed.
    part = folder / f"{file.name}.{file.digest[:12]}{_PART}"
    _require_space(file, part)
    in_one_piece = _receive_file(file, part, progress, headers or {})
    if not in_one_piece and not file.is_at(part):  # the pieces may not fit
        part.unlink()
        _receive_file(file, part, progress, headers or {})
    if not file.is_at(part):
        part.unlink()
        raise DownloadFailed(
            f"{file.name} does not have the size or digest that is stated and was discarded; "
            "try again, and if that does not help look for a proxy that changes downloads"
        )
    return part


def move_into_place(file: RemoteFile, part: Path, folder: Path) -> None:
    """Give a checked file its name, and remove partial files of its other versions."""
    part.replace(folder / file.name)
    remove_parts(file.name, folder)


def remove_parts(name: str, folder: Path) -> None:
    """Remove the partial downloads of a file."""
    for path in folder.iterdir():
        if path.name.startswith(f"{name}.") and path.suffix == _PART:
            path.unlink(missing_ok=True)


def _require_space(file: RemoteFile, part: Path) -> None:
    free, needed = shutil.disk_usage(part.parent).free, file.size_bytes - _size(part)
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{file.name} needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free in "
            f"{part.parent}",
        )


def _receive_file(
    file: RemoteFile, part: Path, progress: Progress, headers: Mapping[str, str]
) -> bool:
    """Complete the partial file, reconnecting where a connection broke. Returns whether all of it
    came in one response.
    """
    attempts, responses = 0, int(part.exists())
    while (had := _size(part)) < file.size_bytes:
        responses += 1
        try:
            _receive_once(file, part, progress, headers)
            if _size(part) < file.size_bytes:
                raise httpx.RemoteProtocolError("the response is too short")
        except httpx.TransportError:
            attempts = attempts + 1 if _size(part) - had < _PROGRESS_BYTES else 1
            if attempts >= _ATTEMPTS:
                raise
            time.sleep(_BACKOFF_S * 2 ** (attempts - 1))
    return responses <= 1


def _receive_once(
    file: RemoteFile, part: Path, progress: Progress, headers: Mapping[str, str]
) -> None:
    at = _size(part)
    sent = {**headers, "Accept-Encoding": "identity"}
    if at:
        sent["Range"] = f"bytes={at}-"
    with (
        httpx.stream(
            "GET", file.url, headers=sent, follow_redirects=True, timeout=TIMEOUT_S
        ) as answer,
        part.open("ab") as out,
    ):
        if (start := _first_byte(answer, at)) != at:
            out.truncate(0)  # from the beginning again
            if start:
                raise httpx.RemoteProtocolError("the response is another range of the file")
            at = 0
        began_s, began_at = time.monotonic(), at
        for block in answer.iter_bytes():  # not in fixed blocks: a break would lose a partial one
            out.write(block)
            at += len(block)
            progress(file.name, at, file.size_bytes)
            if at > file.size_bytes:
                return  # too long: it will fail the check
            _require_speed(at - began_at, time.monotonic() - began_s)


def _first_byte(answer: httpx.Response, asked: int) -> int:
    """Where in the file the response begins. Raises `httpx.HTTPStatusError`."""
    if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and asked:
        return -1  # the file there is shorter than what was received
    answer.raise_for_status()
    if answer.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    stated = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(stated[1]) if stated else asked


def _require_speed(received_bytes: int, in_s: float) -> None:
    if in_s > _SLOW_S and received_bytes < _SLOWEST_BYTES_S * in_s:
        raise httpx.ReadTimeout("less than 1 kB a second arrives")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def explain_failures(source: str, remedy: str, denied: str) -> Iterator[None]:
    """Turn errors of network and disk into `DownloadFailed`. `source`: what was asked, as in "the
    hub"; `remedy`: what to do, `denied`: what to do if it answers that there is no such file.
    """
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, ConnectionError) as error:
        answer: httpx.Response | None = getattr(error, "response", None)
        if answer is None:
            why = f"the connection to {source} failed ({str(error) or type(error).__name__})"
        else:
            why = f"{source} answers {answer.status_code} for {answer.url}"
        missing = answer is not None and answer.status_code in (401, 403, 404)
        asked_wrong = missing or isinstance(
            error, httpx.TooManyRedirects | httpx.InvalidURL | httpx.UnsupportedProtocol
        )
        raise DownloadFailed(f"{why}; {denied if asked_wrong else remedy}") from error
    except OSError as error:
        why = str(error.strerror) if error.errno == errno.ENOSPC else str(error)
        raise DownloadFailed(
            f"cannot store the files: {why}; make room, or choose another folder with --models; "
            f"then {remedy}"
        ) from error
