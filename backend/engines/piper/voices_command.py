"""`duplex-tts voices available | get | refresh | remove`: Piper's voices in the models folder."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from backend.config_sources import load_settings
from backend.engines.download_progress import show_progress
from backend.engines.file_download import Progress
from backend.engines.piper.catalogue import CatalogueVoice
from backend.engines.piper.voice_downloads import VoiceDownloads, base_address
from backend.engines.weights import models_folder
from backend.errors import DuplexError

_AT_ONCE = 3
_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = _create_parser().parse_args(arguments)
    try:
        settings = load_settings().settings.engine
        downloads = VoiceDownloads(
            models_folder(options.models or settings.models) / "piper",
            base_address(options.mirror or settings.piper_mirror),
        )
        sys.exit(options.run(downloads, options))
    except DuplexError as error:
        sys.exit(f"duplex-tts: {error.message}")


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="duplex-tts voices")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., int], about: str, epilog: str = "") -> Any:
        command = commands.add_parser(name, help=about, description=about, epilog=epilog)
        command.set_defaults(run=run)
        command.add_argument("--models", metavar="PATH", help="folder of weights and voices")
        command.add_argument("--mirror", metavar="ADDRESS", help="see engine.piper_mirror")
        return command

    available = add(
        "available",
        _print_available,
        "List Piper's voices that can be downloaded, by language.",
        "A licence is that of the recordings, as the voice's model card states it; '-': no source "
        "at hand states one. Read the card before you publish what a voice says.",
    )
    available.add_argument(
        "language", nargs="?", default="", help="a tag or a name: ar, pt_BR, arabic, Deutsch"
    )
    available.add_argument("--json", action="store_true", help="print JSON")
    get = add(
        "get",
        _get_voices,
        "Download Piper's voices, for any CPU. A running server offers them at once.",
        "An interrupted download resumes where it stopped; existing files are checked.",
    )
    get.add_argument("names", nargs="+", metavar="NAME", help="such as ar_JO-kareem-medium")
    add("refresh", _refresh, "Fetch the newest catalogue of Piper's voices.")
    remove = add("remove", _remove_voices, "Remove downloaded voices from the disk.")
    remove.add_argument("names", nargs="+", metavar="NAME", help="an installed voice")
    return parser


def _print_available(downloads: VoiceDownloads, options: argparse.Namespace) -> int:
    catalogue = downloads.load_catalogue().values()
    voices = [v for v in catalogue if not options.language or v.speaks(options.language)]
    if options.json:
        print(json.dumps([_describe(downloads, voice) for voice in voices], ensure_ascii=False))
    elif voices:
        _print_table(downloads, voices)
    if voices or options.json:
        return 0
    languages = ", ".join(sorted({voice.language_names[0] for voice in catalogue}))
    print(f"duplex-tts: no voice for {options.language!r}; there are: {languages}", file=sys.stderr)
    return _FAILED


def _describe(downloads: VoiceDownloads, voice: CatalogueVoice) -> dict[str, Any]:
    english, native = voice.language_names
    return {
        "name": voice.name,
        "language": voice.language,
        "language_name": english,
        "native_name": native,
        "country": voice.country,
        "quality": voice.quality,
        "speakers": voice.speakers,
        "size_bytes": voice.size_bytes,
        "licence": downloads.find_licence(voice) or None,
        "sample": downloads.sample_address(voice),
        "installed": voice.is_in(downloads.folder),
    }


def _print_table(downloads: VoiceDownloads, voices: Sequence[CatalogueVoice]) -> None:
    out = Console(highlight=False)
    table = Table("voice", "quality", "MB", "speakers", "licence", "", box=None)
    table.columns[2].justify = table.columns[3].justify = "right"

    def language_of(voice: CatalogueVoice) -> str:
        english, native = voice.language_names
        name = english if english == native else f"{english}, {native}"
        return f"{name} ({voice.country})" if voice.country else name

    for language, spoken in groupby(voices, language_of):
        table.add_row(f"[bold]{language}[/bold]")
        for voice in spoken:
            table.add_row(
                f"[link={downloads.sample_address(voice)}]{voice.name}[/link]",
                voice.quality,
                f"{voice.size_bytes / 1e6:.0f}",
                str(voice.speakers),
                downloads.find_licence(voice) or "-",
                "installed" if voice.is_in(downloads.folder) else "",
            )
    out.print(table)
    example = voices[0]
    out.print(
        f"\nHear {example.name}: {downloads.sample_address(example)}\n"
        f"Fetch it: duplex-tts voices get {example.name}",
        soft_wrap=True,
        markup=False,
    )


def _get_voices(downloads: VoiceDownloads, options: argparse.Namespace) -> int:
    voices = list({name: downloads.find(name) for name in options.names}.values())
    stopped = threading.Event()
    failed = 0
    with show_progress() as show, ThreadPoolExecutor(_AT_ONCE) as pool:
        progress = _stoppable(show, stopped)
        fetching = {pool.submit(downloads.get, voice, progress): voice for voice in voices}
        try:
            for done in as_completed(fetching):
                failed += _report(fetching[done], done.result, downloads)
        except KeyboardInterrupt:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _FAILED if failed else 0


def _stoppable(show: Progress, stopped: threading.Event) -> Progress:
    """Progress that ends a download once `stopped`; threads take turns."""
    lock = threading.Lock()

    def progress(name: str, at_bytes: int, of_bytes: int) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        with lock:
            show(name, at_bytes, of_bytes)

    return progress


def _report(voice: CatalogueVoice, result: Callable[[], bool], downloads: VoiceDownloads) -> bool:
    """Print the outcome of a download. Returns whether it failed."""
    try:
        outcome = "downloaded" if result() else "already present"
    except DuplexError as error:
        print(f"duplex-tts: {voice.name}: {error.message}", file=sys.stderr)
        return True
    licence = downloads.find_licence(voice) or "not stated"
    print(f"{voice.name} {outcome}, all files verified; licence: {licence}")
    return False


def _refresh(downloads: VoiceDownloads, _: argparse.Namespace) -> int:
    before, after = downloads.refresh()
    new = sorted(after.keys() - before.keys())
    changed = sum(before[name].files != after[name].files for name in after.keys() & before.keys())
    print(f"{len(after)} voices: {len(new)} new, {changed} changed")
    for name in new:
        print(f"  {name}")
    return 0


def _remove_voices(downloads: VoiceDownloads, options: argparse.Namespace) -> int:
    for name in options.names:
        freed = downloads.remove(name)
        print(f"{name} was removed ({freed / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    main()
