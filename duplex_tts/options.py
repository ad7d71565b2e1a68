"""The options of a session, and its statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from duplex_tts.events import SessionEvent

Transport = Literal["websocket", "http", "down"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a session; the defaults suit a phone call.

    `max_age_s`: maximum age of a server session before it is replaced. `ping_timeout_s`: the
    connection counts as broken after this long without a sign of life. `give_up_s`: how long to
    reconnect before everything in flight is lost. `max_in_flight`: utterances that the server
    speaks at once; further ones queue. `progress_timeout_s`: an utterance that receives nothing for
    this long after its text has ended fails (`no_progress`); ten times as long where it may queue:
    while others of the session are spoken, and in mode `batch`. `capacity_wait_s`: how long a
    session or an utterance that an overloaded server refuses waits in all, trying again when the
    server says; 0: not at all. `fallback`: use HTTP when no WebSocket can be opened. `lexicon`: how
    words are said in all utterances, such as {"Nguyen": "win"}. `ssml`: SSML is carried out in all
    utterances that do not set it. `on_event`: called on the event loop with each `SessionEvent`.
    """

    max_age_s: float = 55 * 60
    ping_timeout_s: float = 10.0
    give_up_s: float = 60.0
    max_in_flight: int = 2
    progress_timeout_s: float = 60.0
    capacity_wait_s: float = 0.0
    fallback: bool = True
    lexicon: Mapping[str, str] = field(default_factory=dict)
    ssml: bool = False
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
    """Statistics of a session.

    `direct`: the connection goes to a replica's own address. `age_s`: age of the current server
    session; `replaced` counts its replacements. `utterances`: number started. `in_flight`:
    utterances being spoken or queued. `ttfa_ms`: time to first audio of the latest utterances.
    Times without a value yet are None.
    """

    transport: Transport
    direct: bool
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
