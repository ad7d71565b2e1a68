"""The files of `save_to_file`: complete or not at all, each written by one call at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcp.server.mcpserver.exceptions import ToolError

from duplex_tts.cli.say_job import SayReport


def absolute_path(path: str) -> Path:
    """Return the path that an agent means. Raises `ToolError`."""
    if "\0" in path:
        raise ToolError(f"{path!r} is no path: it has a NUL character")
    return Path(os.path.abspath(os.path.expanduser(path)))


class SavedFiles:
    """The files that calls write now."""

    def __init__(self) -> None:
        self._writing: set[str] = set()

    @contextmanager
    def keep_complete(self, file: Path, report: SayReport, *, overwrite: bool) -> Iterator[None]:
        """Remove a file that the block has begun and not completed. Raises `ToolError` if there is
        one that may not be replaced, or another call writes it.
        """
        existed = os.path.lexists(file)
        if existed and not overwrite:
            raise ToolError(f"{file} exists; choose another name, or set `overwrite`")
        real_path = os.path.realpath(file)
        if real_path in self._writing:
            raise ToolError(f"another call is writing {file}; wait for it, or choose another name")
        self._writing.add(real_path)
        try:
            yield
        finally:
            self._writing.discard(real_path)
            if not (existed or report.complete):
                with suppress(OSError):  # there is none, or not even a folder
                    file.unlink()
