"""Fixtures of the end-to-end tests: one shared server, and the table of figures."""

from collections.abc import Iterator

import pytest
from rich.console import Console

from duplex_tts.local_server import local_server

pytest.register_assert_rewrite("tests.support.end_to_end")

from tests.support.end_to_end import FigureTable  # noqa: E402 - after register_assert_rewrite

_FIGURES = pytest.StashKey[FigureTable]()


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of one server for all tests."""
    with local_server() as address:
        yield address


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> FigureTable:
    """Collects what the tests measure."""
    return pytestconfig.stash.setdefault(_FIGURES, FigureTable())


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Print what was measured."""
    figures = config.stash.get(_FIGURES, None)
    if figures is not None and figures.rows:
        Console().print(figures.table("\nend to end"))
