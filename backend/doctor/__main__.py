"""`duplex-tts doctor`: run the checks, print the report; exit with 1 if the server cannot run."""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from rich.console import Console

from backend.config_sources import add_flags
from backend.doctor.checks.catalogue import CHECKS, self_test
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.doctor.isolation import CheckRunner
from backend.doctor.redaction import Redaction, secrets_of
from backend.doctor.report import Report, ReportPrinter, Section
from backend.doctor.settings_check import TITLE, check_settings
from backend.engines.weights import WEIGHTS, weights_folder

EMBEDDED = "hibari"
_AT_ONCE = 3  # checks; the self-tests, which measure, run alone

Show = Callable[[str], None]
"""Shows what is being done."""

_DESCRIPTION = """\
Check this machine and the settings, and say what to do: settings, ports, sound,
card, driver, torch, weights, voices. Then speak a sentence with the engine that
the settings choose, and listen to it; on a CUDA card also measure it. Uses no
network and changes nothing. Takes half a minute, some minutes with Chatterbox.

  duplex-tts doctor                              would `duplex-tts serve` run?
  duplex-tts doctor --engine chatterbox-turbo    would it with that engine?
  duplex-tts doctor --all                        try every engine that is there
  duplex-tts doctor --quick                      without speaking: seconds
  duplex-tts doctor > report.txt                 to pass on: contains no keys

Each line is ok, warning, error (the server cannot run as the settings ask) or
absent (not needed), and says what mends it. Exit status: 0 without an error,
else 1. Pass it the options that you pass to `duplex-tts serve`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: check, print, exit."""
    options = _create_parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may have any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        report = _examine_and_print(options)
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(1)
    except OSError as error:
        sys.exit(f"duplex-tts: {error}; set TMPDIR to a folder that can be written")
    sys.exit(0 if report.can_serve else 1)


def _examine_and_print(options: argparse.Namespace) -> Report:
    settings, findings = check_settings(options)
    inputs = CheckInputs(settings, random_weights=options.random_weights, budget_s=options.timeout)
    home = Path.home() if os.environ.get("HOME") else None
    report = Report(Redaction(secrets_of(settings, os.environ), home))
    # A report to a file or a program has no colours, whatever the width of its terminal.
    printer = ReportPrinter(report.redaction, Console(width=80, soft_wrap=True))
    with _progress() as show, closing(_examine(options, inputs, findings, show)) as sections:
        for section in sections:
            report.sections.append(section)
            if not options.json:
                printer.print_section(section)
    if options.json:
        print(report.to_json())
    else:
        printer.print_verdict(report)
    return report


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="duplex-tts doctor", description=_DESCRIPTION)
    add_flags(parser)
    parser.epilog = "`duplex-tts serve --help` lists the settings for --set."
    parser.add_argument("--all", action="store_true", help="speak with every engine that is there")
    parser.add_argument("--quick", action="store_true", help="do not speak")
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="speak with random weights instead of missing ones (in a checkout, with --engine): "
        "full size, says no words",
    )
    parser.add_argument(
        "--timeout",
        type=_parse_seconds,
        default=300.0,
        metavar="SECONDS",
        help="most time for the speech of one engine (default: 300)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _parse_seconds(text: str) -> float:
    with suppress(ValueError):
        if 10 <= (seconds := float(text)) <= 86_400:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 10 to 86400")


def _examine(
    options: argparse.Namespace, inputs: CheckInputs, settings: list[Finding], show: Show
) -> Generator[Section, None, None]:
    """The sections, each as soon as it is there. Closing it ends the checks that run."""
    with tempfile.TemporaryDirectory(prefix="duplex-tts-doctor-") as folder:
        runner = CheckRunner(Path(folder))
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            try:
                system, *others = CHECKS
                yield Section(system.title, runner.run(system, inputs))
                yield Section(TITLE, settings)
                running = [(each, threads.submit(runner.run, each, inputs)) for each in others]
                for check, future in running:
                    show(check.title)
                    yield Section(check.title, future.result())
                if not options.quick:
                    yield from _speak(options, inputs, runner, show)
            finally:
                runner.stop()


def _speak(
    options: argparse.Namespace, inputs: CheckInputs, runner: CheckRunner, show: Show
) -> Iterator[Section]:
    """The self-test of the engine that the settings choose, then of others."""

    def test(its: CheckInputs) -> Section:
        check = self_test(its)
        show(f"{check.title}, up to {check.timeout_s:.0f} s")
        return Section(check.title, runner.run(check, its))

    chosen = test(inputs)
    yield chosen
    spoken = _engine_of(chosen)
    for engine in (EMBEDDED, *(WEIGHTS if options.all else ())):
        if engine != spoken and _can_try(engine, inputs):
            yield test(CheckInputs(inputs.settings, engine, budget_s=inputs.budget_s))


def _engine_of(section: Section) -> str:
    """The engine that a self-test loaded; empty if none."""
    for finding in section.findings:
        if finding.name == "engine" and finding.status is Status.OK:
            return finding.text.partition(":")[0]
    return ""


def _can_try(engine: str, inputs: CheckInputs) -> bool:
    """Whether the engine's weights are there; their check says what is missing."""
    if engine == EMBEDDED:
        return True
    try:
        return not WEIGHTS[engine].missing_files(weights_folder(engine, inputs.models))
    except OSError:
        return False


@contextmanager
def _progress() -> Iterator[Show]:
    """A moving line on stderr, if that is a terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("System") as status:
        yield lambda text: status.update(text)


if __name__ == "__main__":
    main()
