"""`duplex-tts download`: fetch the weights of an engine from the hub into the models folder."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backend.config_sources import load_settings
from backend.engines.download_progress import show_progress
from backend.engines.file_download import (
    TIMEOUT_S,
    Progress,
    RemoteFile,
    download_file,
    explain_failures,
)
from backend.engines.weights import WEIGHTS, Weights, models_folder, weights_folder
from backend.errors import DownloadFailed, DuplexError


def download(weights: Weights, folder: Path, progress: Progress) -> list[str]:
    """Fetch the files that are missing or differ. Blocks (minutes). Raises `DownloadFailed`.

    Returns the names of the files that were fetched. HF_ENDPOINT and HF_TOKEN are honoured.
    """
    fetched = []
    with _explain_failures(weights):
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        folder.mkdir(parents=True, exist_ok=True)
        for file in _list_hub_files(weights):
            if not file.is_at(folder / file.name):
                download_file(file, folder, progress, build_hf_headers())
                fetched.append(file.name)
            progress(file.name, file.size_bytes, file.size_bytes)
    return fetched


def _list_hub_files(weights: Weights) -> list[RemoteFile]:
    """The hub's files, smallest first: once the largest is complete, all are."""
    from huggingface_hub import HfApi, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT") or None
    hub = HfApi(endpoint=endpoint)
    info = hub.model_info(weights.repository, files_metadata=True, timeout=TIMEOUT_S)
    files = []
    for entry in info.siblings or ():
        name, digest = entry.rfilename, entry.lfs.sha256 if entry.lfs else entry.blob_id
        if not weights.includes(name):
            continue
        if digest is None or entry.size is None:
            raise DownloadFailed(f"the hub states no size or digest of {name}; try again later")
        url = hf_hub_url(weights.repository, name, revision=info.sha, endpoint=endpoint)
        files.append(RemoteFile(name, url, entry.size, digest))
    if missing := set(weights.required) - {file.name for file in files}:
        raise DownloadFailed(
            f"{weights.repository} no longer has {', '.join(sorted(missing))}; "
            "update duplex-tts and try again"
        )
    return sorted(files, key=lambda file: file.size_bytes)


@contextmanager
def _explain_failures(weights: Weights) -> Iterator[None]:
    """Turn errors into `DownloadFailed` with a remedy."""
    remedy = f"run `duplex-tts download {weights.engine}` again: it resumes where it stopped"
    denied = "set HF_ENDPOINT for another hub, HF_TOKEN for a token with read access"
    try:
        # The hub package's errors are those of httpx.
        with explain_failures("the hub", remedy, denied):
            yield
    except ImportError as error:
        raise DownloadFailed(
            f"{error.name or error} is not installed; get it with "
            'pip install "duplex-tts[download]" (in a clone: make install-chatterbox)'
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
        with show_progress() as progress:
            fetched = download(weights, folder, progress)
    except DuplexError as error:
        sys.exit(f"duplex-tts: {error.message}")
    except KeyboardInterrupt:
        sys.exit(130)
    outcome = "downloaded" if fetched else "already present"
    print(f"{weights.engine} {outcome}, all files verified: {folder}")


if __name__ == "__main__":
    main()
