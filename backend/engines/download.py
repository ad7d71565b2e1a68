"""`duplex-tts download`: fetch the weights of an engine from the hub into the models folder.

A file is written to a temporary name, checked against the hub's size and digest, and only then
moved into place. An interrupted download resumes where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.config_sources import load_settings
from backend.engines.weights import WEIGHTS, Weights, models_folder, weights_folder
from backend.errors import DownloadFailed, DuplexError

_BLOCK_BYTES = 1 << 20
_ATTEMPTS = 5  # in a row without receiving a byte
_BACKOFF_S = 0.5  # before the second attempt; doubled for each further one
_TIMEOUT_S = 20.0
_PART = ".part"

Progress = Callable[[str, int, int], None]
"""Called with a file's name, its bytes so far and its total bytes."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as listed by the hub; `digest` is a SHA-256, or git's SHA-1 for small files."""

    name: str
    url: str
    size_bytes: int
    digest: str

    def is_at(self, path: Path) -> bool:
        """Whether `path` has this size and digest. Blocks: reads the whole file."""
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        if len(self.digest) == 64:
            found = hashlib.sha256()
        else:  # how git names a blob
            found = hashlib.sha1(f"blob {self.size_bytes}\0".encode(), usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                found.update(block)
        return found.hexdigest() == self.digest


def download(weights: Weights, folder: Path, progress: Progress) -> list[str]:
    """Fetch the files that are missing or differ. Blocks (minutes). Raises `DownloadFailed`.

    Returns the names of the files that were fetched. HF_ENDPOINT and HF_TOKEN are honoured.
    """
    fetched = []
    with _wrap_errors(weights):
        folder.mkdir(parents=True, exist_ok=True)
        for file in _list_hub_files(weights):
            if not file.is_at(folder / file.name):
                _download_file(file, folder, progress)
                fetched.append(file.name)
            progress(file.name, file.size_bytes, file.size_bytes)
    return fetched


def _list_hub_files(weights: Weights) -> list[HubFile]:
    """The hub's files, smallest first: once the largest is complete, all are."""
    from huggingface_hub import HfApi, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT") or None
    hub = HfApi(endpoint=endpoint)
    info = hub.model_info(weights.repository, files_metadata=True, timeout=_TIMEOUT_S)
    files = []
    for entry in info.siblings or ():
        name, digest = entry.rfilename, entry.lfs.sha256 if entry.lfs else entry.blob_id
        if not weights.includes(name):
            continue
        if digest is None or entry.size is None:
            raise DownloadFailed(f"the hub states no size or digest of {name}; try again later")
        url = hf_hub_url(weights.repository, name, revision=info.sha, endpoint=endpoint)
        files.append(HubFile(name, url, entry.size, digest))
    if missing := set(weights.required) - {file.name for file in files}:
        raise DownloadFailed(
            f"{weights.repository} no longer has {', '.join(sorted(missing))}; "
            "update duplex-tts and try again"
        )
    return sorted(files, key=lambda file: file.size_bytes)


def _download_file(file: HubFile, folder: Path, progress: Progress) -> None:
    """Download one file, check it and move it into place."""
    # The digest is in the name, so that another version's partial file is not resumed.
    part = folder / f"{file.name}.{file.digest[:12]}{_PART}"
    resumed = part.exists()
    _receive_file(file, part, progress)
    if resumed and not file.is_at(part):  # the partial file may have been corrupt
        part.unlink()
        _receive_file(file, part, progress)
    if not file.is_at(part):
        part.unlink()
        raise DownloadFailed(
            f"{file.name} does not have the size or digest that the hub states and was discarded; "
            "try again, and if that does not help look for a proxy that changes downloads"
        )
    part.replace(folder / file.name)
    for left in folder.glob(f"{file.name}.*{_PART}"):
        left.unlink()


def _receive_file(file: HubFile, part: Path, progress: Progress) -> None:
    """Complete the partial file, reconnecting where a connection broke."""
    attempts = 0
    while (had := _size(part)) < file.size_bytes:
        try:
            _receive_once(file, part, progress)
            if _size(part) < file.size_bytes:
                raise httpx.RemoteProtocolError("the response is too short")
        except httpx.TransportError:
            attempts = attempts + 1 if _size(part) == had else 1
            if attempts >= _ATTEMPTS:
                raise
            time.sleep(_BACKOFF_S * 2 ** (attempts - 1))


def _receive_once(file: HubFile, part: Path, progress: Progress) -> None:
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    at = _size(part)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if at:
        headers["Range"] = f"bytes={at}-"
    with (
        httpx.stream(
            "GET", file.url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_S
        ) as answer,
        part.open("ab") as out,
    ):
        answer.raise_for_status()
        if answer.status_code != httpx.codes.PARTIAL_CONTENT and at:
            out.truncate(0)
            at = 0
        for block in answer.iter_bytes():  # not in fixed blocks: a break would lose a partial one
            out.write(block)
            at += len(block)
            progress(file.name, at, file.size_bytes)
            if at > file.size_bytes:
                return  # too long: it will fail the check


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _wrap_errors(weights: Weights) -> Iterator[None]:
    """Turn errors into `DownloadFailed` with a remedy."""
    remedy = f"run `duplex-tts download {weights.engine}` again: it resumes where it stopped"
    try:
        yield
    except ImportError as error:
        raise DownloadFailed(
            f"{error.name or error} is not installed; get it with "
            'pip install "duplex-tts[download]" (in a clone: make install-chatterbox)'
        ) from error
    except (httpx.HTTPError, ConnectionError) as error:  # the hub package's errors are subclasses
        answer: httpx.Response | None = getattr(error, "response", None)
        if answer is None:
            why = f"the connection to the hub failed ({str(error) or type(error).__name__})"
        else:
            why = f"the hub answers {answer.status_code} for {answer.url}"
            if answer.status_code in (401, 403, 404):
                remedy = "set HF_ENDPOINT for another hub, HF_TOKEN for a token with read access"
        raise DownloadFailed(f"{why}; {remedy}") from error
    except OSError as error:
        raise DownloadFailed(
            f"cannot store the weights: {error}; choose another folder with --models, or {remedy}"
        ) from error


# --- the command ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command, with a progress bar."""
    parser = argparse.ArgumentParser(
        prog="duplex-tts download",
        description="Fetch the weights of an engine (2 to 3 GB). An interrupted download resumes "
        "where it stopped; existing files are checked, and fetched again if they differ.",
        epilog="environment: HF_ENDPOINT sets another hub, HF_TOKEN a token for it.",
    )
    parser.add_argument("engine", choices=list(WEIGHTS), help="what to fetch")
    parser.add_argument(
        "--models",
        metavar="PATH",
        help="target folder (default: the setting engine.models, where the server looks)",
    )
    options = parser.parse_args(arguments)
    weights = WEIGHTS[options.engine]
    try:
        models = options.models or load_settings().settings.engine.models
        folder = weights_folder(weights.engine, models_folder(models))
        with _progress_bars() as progress:
            fetched = download(weights, folder, progress)
    except DuplexError as error:
        sys.exit(f"duplex-tts: {error.message}")
    except KeyboardInterrupt:
        sys.exit(130)
    outcome = "downloaded" if fetched else "already present"
    print(f"{weights.engine} {outcome}, all files verified: {folder}")


@contextmanager
def _progress_bars() -> Iterator[Progress]:
    """Progress bars on a terminal; otherwise a line for each complete file."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}
        complete: set[str] = set()

        def progress(name: str, at_bytes: int, of_bytes: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=of_bytes)
            bars.update(tasks[name], completed=at_bytes)
            if at_bytes == of_bytes and not (console.is_terminal or name in complete):
                complete.add(name)
                console.print(f"{name}  {of_bytes / 1e6:.1f} MB", soft_wrap=True)

        yield progress


if __name__ == "__main__":
    main()
