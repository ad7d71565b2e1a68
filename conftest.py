"""Fixtures of the end-to-end tests: one server for all of them, and their table of figures."""

from collections.abc import Iterator

import pytest
from rich.console import Console

from duplex_tts.local_server import local_server

pytest.register_assert_rewrite("tests.support.end_to_end")

from tests.support.end_to_end import Figures  # noqa: E402 - rewriting comes before the import

_FIGURES = pytest.StashKey[Figures]()


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a server that runs while the tests do."""
    with local_server() as address:
        yield address


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """Collects what the tests measure."""
    return pytestconfig.stash.setdefault(_FIGURES, Figures())


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Print what was measured."""
    figures = config.stash.get(_FIGURES, None)
    if figures is not None and figures.rows:
        Console().print(figures.table("\nend to end"))
