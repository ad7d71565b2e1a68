"""Keeps what the server's parts log, for the report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, WrappedLogger


class LogEvents:
    """The events in order."""

    def __init__(self) -> None:
        self.events: list[EventDict] = []

    def __call__(self, _: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """A log processor that keeps the event and prints nothing."""
        self.events.append({**event, "level": method})
        raise structlog.DropEvent

    def find(self, name: str) -> EventDict | None:
        """The first event of this name."""
        return next((event for event in self.events if event["event"] == name), None)

    def warnings(self) -> Iterator[str]:
        """The distinct warnings and errors, a line each."""
        texts = (
            f"{event['event']}: {event.get('why') or event.get('remedy') or 'see the log'}"
            for event in self.events
            if event["level"] in ("warning", "error", "critical", "exception")
        )
        yield from dict.fromkeys(texts)


@contextmanager
def keeping_log_events() -> Iterator[LogEvents]:
    """Keep the events of the block instead of printing them."""
    former, kept = structlog.get_config(), LogEvents()
    everything = structlog.make_filtering_bound_logger(logging.INFO)
    structlog.configure(processors=[kept], wrapper_class=everything)
    try:
        yield kept
    finally:
        structlog.configure(**former)
