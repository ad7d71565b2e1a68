"""What the tests with real clients share: two servers, an ear, and the figures of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from statistics import mean

import httpx
import pytest

pytest.register_assert_rewrite("tests.interop.listening")

from tests.interop.listening import Ear, Heard, listening  # noqa: E402 - rewriting comes before it
from tests.interop.live_servers import Server, running_server  # noqa: E402

KEY = "the-right-key"
WRONG_KEY = "a-wrong-key"
_FIGURES = pytest.StashKey[list[Heard]]()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that asks nobody for a key."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="session")
def guarded() -> Iterator[Server]:
    """A server that wants `guarded.key`."""
    with running_server(key=KEY) as running:
        yield running


@pytest.fixture(scope="session")
def ear(server: Server, pytestconfig: pytest.Config) -> Iterator[Ear]:
    """Understands what was said."""

    @cache
    def usual_s(text: str) -> float:
        answer = httpx.post(f"{server.http}/v1/speech", json={"text": text}, timeout=60)
        done = json.loads(answer.raise_for_status().text.splitlines()[-1])
        return float(done["audio_ms"]) / 1000

    with listening(usual_s) as understanding:
        pytestconfig.stash[_FIGURES] = understanding.figures
        yield understanding


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What was heard: words that were wrong, seconds, and how long one waited for the first."""
    figures = config.stash.get(_FIGURES, [])
    if not figures:
        return
    terminalreporter.section("what was heard")
    terminalreporter.line("wrong words   seconds   of usual   waited")
    for heard in figures:
        waited = "" if heard.waited_s is None else f"{heard.waited_s:.2f} s"
        terminalreporter.line(
            f"{heard.wrong:11.1%} {heard.duration_s:9.2f} {heard.stretch:10.1%} {waited:>8}  "
            f"{heard.test}"
        )
    terminalreporter.line(f"{mean(heard.wrong for heard in figures):11.1%} on average")
