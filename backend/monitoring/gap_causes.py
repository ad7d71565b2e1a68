"""Finds the cause of a gap in playback. Synchronous, no I/O; times in seconds of one clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Cause = Literal["text_late", "rendered_late", "refused", "slow_reader", "disconnected"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an audio message reached its listener, since the audio message before it.

    `without_text`: when there was nothing to speak. `failure`: the error code of an utterance that
    failed meanwhile. `queued_s`: when the message was rendered, encoded and queued; `taken_s`: when
    it was taken from the queue to be written. `reconnected`: the connection was lost meanwhile.
    """

    queued_s: float
    taken_s: float
    without_text: tuple[Span, ...] = ()
    failure: str | None = None
    reconnected: bool = False


@dataclass(frozen=True, slots=True)
class ExplainedGap:
    """A listener had nothing to hear for `seconds`: the sum of the waits for text, for rendering,
    and for the client to read.
    """

    cause: Cause
    seconds: float
    text_s: float
    render_s: float
    reader_s: float


def explain_gap(dry_s: float, delivery: Delivery, goal_s: float) -> ExplainedGap:
    """The gap from `dry_s`, when playback ran dry, until this message was taken from the queue.

    Its cause is the largest of its parts. Rendering that began after playback ran dry and took at
    most `goal_s` was not late: its time counts as waiting for text.
    """
    ready_s = max(dry_s, delivery.queued_s)
    reader_s = max(0.0, delivery.taken_s - ready_s)
    text_s = sum((_overlap(span, (dry_s, ready_s)) for span in delivery.without_text), 0.0)
    render_s = max(0.0, ready_s - dry_s - text_s)
    in_time = text_s > 0 and render_s <= goal_s
    by_reader: Cause = "disconnected" if delivery.reconnected else "slow_reader"
    by_engine: Cause = "refused" if delivery.failure else "rendered_late"
    parts: dict[Cause, float] = {
        "text_late": text_s + (render_s if in_time else 0.0),
        by_engine: 0.0 if in_time else render_s,
        by_reader: reader_s,
    }
    cause = max(parts, key=lambda part: parts[part])
    return ExplainedGap(cause, text_s + render_s + reader_s, text_s, render_s, reader_s)


def _overlap(first: Span, second: Span) -> float:
    return max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
