"""What all tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Nothing is logged, unless a test asks for it: hypothesis replays thousands of dialogues."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    wrapper = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=wrapper, cache_logger_on_first_use=False)
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
