"""Shows on stderr how far downloads are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.engines.file_download import Progress


@contextmanager
def show_progress() -> Iterator[Progress]:
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
