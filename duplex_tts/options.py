"""How a session behaves, and how it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from duplex_tts.events import SessionEvent

Transport = Literal["websocket", "http", "down"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a session behaves; the defaults suit a call.

    `max_age_s`: a session with the server that is older is replaced. `ping_timeout_s`: a server
    that is silent for so long is taken for gone. `give_up_s`: after so long without a connection
    everything in flight is lost. `max_in_flight`: how many utterances the server speaks at once,
    the others wait for their turn. `progress_timeout_s`: an utterance of which nothing comes for so
    long after its text has ended fails (`no_progress`); ten times as long where it may have to
    queue: while others of the session are spoken, and in mode `batch`. `fallback`: go over HTTP
    where no WebSocket gets through. `on_event`: called on the event loop with what the session does
    to survive.
    """

    max_age_s: float = 55 * 60
    ping_timeout_s: float = 10.0
    give_up_s: float = 60.0
    max_in_flight: int = 2
    progress_timeout_s: float = 60.0
    fallback: bool = True
    on_event: Callable[[SessionEvent], None] | None = None

    def __post_init__(self) -> None:
        for name in (
            "max_age_s",
            "ping_timeout_s",
            "give_up_s",
            "max_in_flight",
            "progress_timeout_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Stats:
    """A session in figures.

    `age_s`: of the session with the server, which `replaced` counts anew. `utterances`: how often
    the session was used. `in_flight`: how many of them are being spoken or wait for their turn.
    `ttfa_ms`: of the latest utterances. Times without a value yet are None.
    """

    transport: Transport
    age_s: float
    utterances: int
    in_flight: int
    bytes_in: int
    bytes_out: int
    reconnects: int
    resumes: int
    restarts: int
    replaced: int
    ping_ms: float | None
    ttfa_ms: tuple[float, ...]
