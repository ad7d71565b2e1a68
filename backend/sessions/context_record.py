"""Figures of a session and its contexts, and their log lines.

Log lines contain no client text except the context ids that it chose.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from backend.errors import DuplexError
from backend.monitoring.gap_causes import Cause, ExplainedGap
from backend.monitoring.metrics import Metrics

log = structlog.get_logger(__name__)


def endpoint_of(scope: Mapping[str, Any]) -> str:
    """The path of the client's route: which protocol it speaks, without values it supplied."""
    return str(getattr(scope.get("route"), "path", scope.get("path", "")))


class SessionRecord:
    """One session. An HTTP request is a session with one context and no log lines of its own."""

    def __init__(self, endpoint: str, metrics: Metrics, clock: Callable[[], float]) -> None:
        """`endpoint`: see `endpoint_of`. `clock`: seconds."""
        self.session = secrets.token_urlsafe(9)
        self.endpoint = endpoint
        self.metrics = metrics
        self.clock = clock
        self.opened_s = clock()
        self.contexts = 0
        self.characters = 0
        self.gaps = GapCounts()

    def log_opened(self, *, resumable: bool) -> None:
        """Log that the session has begun."""
        log.info(
            "session.opened", session=self.session, endpoint=self.endpoint, resumable=resumable
        )

    def log_closed(self, outcome: str) -> None:
        """Log that the session is over, with its figures."""
        log.info(
            "session.closed",
            session=self.session,
            endpoint=self.endpoint,
            outcome=outcome,
            seconds=round(self.clock() - self.opened_s, 3),
            contexts=self.contexts,
            characters=self.characters,
            **self.gaps.log_fields(),
        )


class GapCounts:
    """Gaps in playback, by cause."""

    def __init__(self) -> None:
        self._sums: dict[Cause, tuple[int, float]] = {}  # count, seconds
        self._longest_s = 0.0

    def add_gap(self, gap: ExplainedGap) -> None:
        """Count a gap."""
        count, seconds = self._sums.get(gap.cause, (0, 0.0))
        self._sums[gap.cause] = count + 1, seconds + gap.seconds
        self._longest_s = max(self._longest_s, gap.seconds)

    @property
    def counts(self) -> dict[Cause, int]:
        """Number of gaps, only for causes that occurred."""
        return {cause: count for cause, (count, _) in self._sums.items()}

    def log_fields(self) -> dict[str, object]:
        """Fields of a log line."""
        return {
            "gaps": self.counts,
            "gap_ms": {cause: _ms(seconds) for cause, (_, seconds) in self._sums.items()},
            "longest_gap_ms": _ms(self._longest_s),
        }


@dataclass(frozen=True, slots=True)
class ContextParameters:
    """How a context is spoken and sent, for the log."""

    voice: str
    format: str
    sample_rate: int
    mode: str


class ContextRecord:
    """One context's figures."""

    def __init__(self, session: SessionRecord, context: str, parameters: ContextParameters) -> None:
        self._session = session
        self._metrics = session.metrics
        self._log_ids: dict[str, Any] = {
            "session": session.session,
            "endpoint": session.endpoint,
            "context": context,
        }
        self._parameters = {name: getattr(parameters, name) for name in ContextParameters.__slots__}
        self._opened_s = session.clock()
        self._closed = False
        self._characters = 0
        self._audio_ms = 0.0
        self._chunks = 0
        self._render_s = 0.0
        self._first_sound_s: float | None = None
        self._errors: Counter[str] = Counter()
        self._gaps = GapCounts()

    def log_opened(self) -> None:
        """Count the context and log that it has begun."""
        self._session.contexts += 1
        log.info("context.opened", **self._log_ids, **self._parameters)

    def add_text(self, characters: int) -> None:
        """Count received text."""
        self._characters += characters
        self._session.characters += characters
        self._metrics.count_text(characters)

    def add_render_time(self, busy_s: float) -> None:
        """Add engine time."""
        self._render_s += busy_s

    def add_error(self, error: DuplexError) -> None:
        """Count and log a failed utterance; the context goes on."""
        self._errors[error.code] += 1
        self._metrics.count_error(error.code)
        log.warning("utterance.failed", **self._log_ids, code=error.code, why=error.message)

    def set_first_sound(self, seconds: float) -> None:
        """Record the delay from the first release to the first audible sample."""
        self._first_sound_s = seconds
        self._metrics.observe_first_sound(seconds)

    def add_sent(self, audio_ms: float) -> None:
        """Count an audio message taken from the queue for writing."""
        self._audio_ms += audio_ms
        self._chunks += 1

    def subtract_unreceived(self, audio_ms: float, messages: int) -> None:
        """Uncount messages that did not arrive and will be sent again."""
        self._audio_ms -= audio_ms
        self._chunks -= messages

    def add_gap(self, gap: ExplainedGap, **details: object) -> None:
        """Count and log a gap that a live listener heard."""
        self._gaps.add_gap(gap)
        self._session.gaps.add_gap(gap)
        self._metrics.count_gap(gap.cause, gap.seconds)
        log.info(
            "listener.gap",
            **self._log_ids,
            cause=gap.cause,
            gap_ms=_ms(gap.seconds),
            text_ms=_ms(gap.text_s),
            render_ms=_ms(gap.render_s),
            reader_ms=_ms(gap.reader_s),
            **details,
        )

    def log_closed(self, outcome: str) -> None:
        """Log that the context is over; only the first call counts."""
        if self._closed:
            return
        self._closed = True
        first_s = self._first_sound_s
        log.info(
            "context.closed",
            **self._log_ids,
            outcome=outcome,
            **self._parameters,
            seconds=round(self._session.clock() - self._opened_s, 3),
            characters=self._characters,
            audio_ms=round(self._audio_ms, 3),
            chunks=self._chunks,
            first_sound_ms=None if first_s is None else _ms(first_s),
            render_ms=_ms(self._render_s),
            errors=dict(self._errors),
            **self._gaps.log_fields(),
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
