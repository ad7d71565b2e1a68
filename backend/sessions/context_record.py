"""What a session and its contexts were, in figures, and their lines in the log.

Nothing of what a client says is in them, but the ids that it gives to its contexts.
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
    """Where a client came in, and so which protocol it speaks: the path of its route, which has
    nothing of the client's in it.
    """
    return str(getattr(scope.get("route"), "path", scope.get("path", "")))


class SessionRecord:
    """One session. Over HTTP a request is one, with one context and no lines of its own."""

    def __init__(self, endpoint: str, metrics: Metrics, clock: Callable[[], float]) -> None:
        """`endpoint`: see `endpoint_of`. `clock`: seconds."""
        self.session = secrets.token_urlsafe(9)
        self.endpoint = endpoint
        self.metrics = metrics
        self.clock = clock
        self.opened_s = clock()
        self.contexts = 0
        self.characters = 0
        self.gaps = Gaps()

    def opened(self, *, resumable: bool) -> None:
        """It has begun."""
        log.info(
            "session.opened", session=self.session, endpoint=self.endpoint, resumable=resumable
        )

    def closed(self, outcome: str) -> None:
        """It is over."""
        log.info(
            "session.closed",
            session=self.session,
            endpoint=self.endpoint,
            outcome=outcome,
            seconds=round(self.clock() - self.opened_s, 3),
            contexts=self.contexts,
            characters=self.characters,
            **self.gaps.fields(),
        )


class Gaps:
    """The gaps that listeners heard, by cause."""

    def __init__(self) -> None:
        self._sums: dict[Cause, tuple[int, float]] = {}  # count, seconds
        self._longest_s = 0.0

    def add(self, gap: ExplainedGap) -> None:
        """One more."""
        count, seconds = self._sums.get(gap.cause, (0, 0.0))
        self._sums[gap.cause] = count + 1, seconds + gap.seconds
        self._longest_s = max(self._longest_s, gap.seconds)

    @property
    def counts(self) -> dict[Cause, int]:
        """How many; without causes that did not occur."""
        return {cause: count for cause, (count, _) in self._sums.items()}

    def fields(self) -> dict[str, object]:
        """For a line in the log."""
        return {
            "gaps": self.counts,
            "gap_ms": {cause: _ms(seconds) for cause, (_, seconds) in self._sums.items()},
            "longest_gap_ms": _ms(self._longest_s),
        }


@dataclass(frozen=True, slots=True)
class ContextParameters:
    """How a context is spoken and sent."""

    voice: str
    format: str
    sample_rate: int
    mode: str


class ContextRecord:
    """One context."""

    def __init__(self, session: SessionRecord, context: str, parameters: ContextParameters) -> None:
        self._session = session
        self._metrics = session.metrics
        self._who: dict[str, Any] = {
            "session": session.session,
            "endpoint": session.endpoint,
            "context": context,
        }
        self._parameters = {each: getattr(parameters, each) for each in ContextParameters.__slots__}
        self._opened_s = session.clock()
        self._closed = False
        self._characters = 0
        self._audio_ms = 0.0
        self._chunks = 0
        self._render_s = 0.0
        self._first_sound_s: float | None = None
        self._errors: Counter[str] = Counter()
        self._gaps = Gaps()

    def opened(self) -> None:
        """It has begun."""
        self._session.contexts += 1
        log.info("context.opened", **self._who, **self._parameters)

    def text(self, characters: int) -> None:
        """Text came in."""
        self._characters += characters
        self._session.characters += characters
        self._metrics.count_text(characters)

    def rendered(self, busy_s: float) -> None:
        """An engine worked for it."""
        self._render_s += busy_s

    def failed(self, error: DuplexError) -> None:
        """An utterance failed; the context goes on."""
        self._errors[error.code] += 1
        self._metrics.count_error(error.code)
        log.warning("utterance.failed", **self._who, code=error.code, why=error.message)

    def first_sound(self, seconds: float) -> None:
        """The first audible sample, so long after its words could have been spoken."""
        self._first_sound_s = seconds
        self._metrics.observe_first_sound(seconds)

    def sent(self, audio_ms: float) -> None:
        """A message of audio was taken to be written."""
        self._audio_ms += audio_ms
        self._chunks += 1

    def sent_in_vain(self, audio_ms: float, messages: int) -> None:
        """Messages that were taken did not arrive, and will be taken again."""
        self._audio_ms -= audio_ms
        self._chunks -= messages

    def gap(self, gap: ExplainedGap, **what_led_to_it: object) -> None:
        """A live listener heard a gap."""
        self._gaps.add(gap)
        self._session.gaps.add(gap)
        self._metrics.count_gap(gap.cause, gap.seconds)
        log.info(
            "listener.gap",
            **self._who,
            cause=gap.cause,
            gap_ms=_ms(gap.seconds),
            text_ms=_ms(gap.text_s),
            render_ms=_ms(gap.render_s),
            reader_ms=_ms(gap.reader_s),
            **what_led_to_it,
        )

    def closed(self, outcome: str) -> None:
        """It is over; the first outcome counts."""
        if self._closed:
            return
        self._closed = True
        first_s = self._first_sound_s
        log.info(
            "context.closed",
            **self._who,
            outcome=outcome,
            **self._parameters,
            seconds=round(self._session.clock() - self._opened_s, 3),
            characters=self._characters,
            audio_ms=round(self._audio_ms, 3),
            chunks=self._chunks,
            first_sound_ms=None if first_s is None else _ms(first_s),
            render_ms=_ms(self._render_s),
            errors=dict(self._errors),
            **self._gaps.fields(),
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
