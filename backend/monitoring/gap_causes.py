"""Why a listener heard a gap. Plain and synchronous; times in seconds of one clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Cause = Literal["text_late", "rendered_late", "refused", "slow_reader", "disconnected"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Way:
    """How a message of audio came to its listener, after the audio before it.

    `without_text`: when there was nothing to speak. `failure`: the code with which an utterance
    failed meanwhile. `queued_s`: when the message was rendered, encoded and ready to be written;
    `taken_s`: when it was taken to be written. `reconnected`: the listener had no connection
    meanwhile.
    """

    queued_s: float
    taken_s: float
    without_text: tuple[Span, ...] = ()
    failure: str | None = None
    reconnected: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """A listener had nothing to hear for `seconds`: so much of it waiting for text, for the text's
    audio, and for the audio to be taken.
    """

    cause: Cause
    seconds: float
    text_s: float
    render_s: float
    reader_s: float


def explain(dry_s: float, way: Way, goal_s: float) -> Gap:
    """The gap from `dry_s`, when the listener ran dry, until this message was taken.

    Its cause is what took the largest part of it. An engine that had nothing to speak when the
    listener ran dry, and then needs no more than `goal_s`, was not late.
    """
    ready_s = max(dry_s, way.queued_s)
    reader_s = max(0.0, way.taken_s - ready_s)
    text_s = sum((_overlap(span, (dry_s, ready_s)) for span in way.without_text), 0.0)
    render_s = max(0.0, ready_s - dry_s - text_s)
    in_time = text_s > 0 and render_s <= goal_s
    by_reader: Cause = "disconnected" if way.reconnected else "slow_reader"
    by_engine: Cause = "refused" if way.failure else "rendered_late"
    parts: dict[Cause, float] = {
        "text_late": text_s + (render_s if in_time else 0.0),
        by_engine: 0.0 if in_time else render_s,
        by_reader: reader_s,
    }
    cause = max(parts, key=lambda each: parts[each])
    return Gap(cause, text_s + render_s + reader_s, text_s, render_s, reader_s)


def _overlap(one: Span, other: Span) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
