"""Settings and fixtures of all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from tests.support.repository import ROOT

# Deterministic examples; HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("repeat", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


_SLOW_FOLDERS = [ROOT / "tests" / "browser", ROOT / "tests" / "backend" / "engines" / "chatterbox"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole folders as slow."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in _SLOW_FOLDERS):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Build hypothesis' Unicode table, once per clone and up to 20 s on a busy machine, outside of
    the tests' time limits.
    """
    hypothesis.strategies.text().validate()


@pytest.fixture(autouse=True)
def _silence_logs() -> Iterator[None]:
    """Log nothing unless a test asks for it: hypothesis replays thousands of dialogues."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    wrapper = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=wrapper, cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
