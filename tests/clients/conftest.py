"""What the tests with real clients share: two servers, and an ear."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.clients.listening")

from tests.clients.listening import Ear, listening  # noqa: E402 - rewriting comes before the import
from tests.clients.live_servers import Server, running_server  # noqa: E402

KEY = "the-right-key"
WRONG_KEY = "a-wrong-key"


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
def ear() -> Iterator[Ear]:
    """Understands what was said."""
    with listening() as understanding:
        yield understanding
