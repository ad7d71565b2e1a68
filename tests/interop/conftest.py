"""Shared fixtures of the tests with real clients: servers, a speech checker, a summary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from statistics import mean

import httpx
import pytest

pytest.register_assert_rewrite("tests.interop.listening")

from tests.interop.listening import SpeechChecker, SpeechResult, start_checker  # noqa: E402 - needs the rewrite
from tests.interop.live_servers import RunningServer, running_server  # noqa: E402

KEY = "the-right-key"
WRONG_KEY = "a-wrong-key"
_RESULTS = pytest.StashKey[list[SpeechResult]]()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """A server without keys."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="session")
def keyed_server() -> Iterator[RunningServer]:
    """A server that requires `keyed_server.key`."""
    with running_server(key=KEY) as running:
        yield running


@pytest.fixture(scope="session")
def checker(server: RunningServer, pytestconfig: pytest.Config) -> Iterator[SpeechChecker]:
    """A speech checker against `server`."""

    @cache
    def reference_s(text: str) -> float:
        answer = httpx.post(f"{server.http}/v1/speech", json={"text": text}, timeout=60)
        done = json.loads(answer.raise_for_status().text.splitlines()[-1])
        return float(done["audio_ms"]) / 1000

    with start_checker(reference_s) as running:
        pytestconfig.stash[_RESULTS] = running.results
        yield running


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print each checked clip: word error rate, duration and time to first audio."""
    results = config.stash.get(_RESULTS, [])
    if not results:
        return
    terminalreporter.section("checked speech")
    terminalreporter.line("wrong words   seconds   of usual    first")
    for result in results:
        first_audio = "" if result.first_audio_s is None else f"{result.first_audio_s:.2f} s"
        terminalreporter.line(
            f"{result.error_rate:11.1%} {result.duration_s:9.2f} {result.stretch:10.1%} "
            f"{first_audio:>8}  {result.test}"
        )
    terminalreporter.line(f"{mean(result.error_rate for result in results):11.1%} on average")
