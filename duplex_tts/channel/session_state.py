"""One session with the server, without its sockets: who is open, what was said, what has come.

Plain and synchronous, but for the futures of pings; `link` moves its messages. Where the server has
forgotten the session or a context, what was not heard of it is said again (`Context.restart`).
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from duplex_tts.channel import wire
from duplex_tts.channel.context import Channel, Context
from duplex_tts.channel.keepalive import Answer, Keepalive
from duplex_tts.channel.send_queue import SendQueue
from duplex_tts.errors import ClientError, ProtocolError, Refused
from duplex_tts.events import (
    Audio,
    Cancelled,
    Done,
    Error,
    Event,
    Pong,
    Ready,
    Restarted,
    Retracted,
)

KEPT_ERRORS = 100
REMEMBERED_IDS = 1_000
VIOLATIONS_LIMIT = 5  # in a row: what is damaged on the way comes intact the next time

_ENDS_SESSION = frozenset({"session_ended"})
_DEAF = sys.maxsize  # to a context that failed: whatever `seq` still comes of it


@dataclass(slots=True)
class Health:
    """How the links of a session do; one for all of them."""

    ping_ms: float | None = None
    reconnects: int = 0
    resumes: int = 0
    restarts: int = 0
    progress_s: float = -math.inf  # when something last came of any context
    errors: deque[Error] = field(default_factory=lambda: deque(maxlen=KEPT_ERRORS))


class ViolationCounter:
    """What has come that the protocol does not allow: damaged on the way, or meant?"""

    def __init__(self) -> None:
        self._last = ""
        self._in_a_row = 0

    def clear(self) -> None:
        """Something in order came."""
        self._in_a_row = 0

    def meant(self, error: ProtocolError) -> bool:
        """Whether it came before, or too much of the kind: it will not be better the next time."""
        return str(error) == self._last or self._in_a_row >= VIOLATIONS_LIMIT

    def add(self, error: ProtocolError) -> None:
        """It came."""
        self._last = str(error)
        self._in_a_row += 1


class SessionState:
    """The state of a session with the server. `channel`: what its contexts speak through."""

    def __init__(
        self,
        ready: Ready,
        channel: Channel,
        clock: Callable[[], float],
        health: Health,
        tell: Callable[[Restarted], None],
    ) -> None:
        self.ready = ready
        self.contexts: dict[str, Context] = {}  # by their ids on the wire
        self.send_queue = SendQueue()
        self.keepalive = Keepalive(clock())
        self.suspicion = ViolationCounter()
        self._channel = channel
        self._clock = clock
        self._health = health
        self._tell = tell
        self._ended: dict[str, int] = {}  # the latest, with their last `seq`
        self._suffixes = itertools.count(2)

    def enter(self, context: Context) -> None:
        """Open a context. Raises `ValueError` when one of this id is open."""
        if context.id in self.contexts:
            raise ValueError(f"context {context.id!r} is open")
        self.contexts[context.id] = context
        self._ended.pop(context.id, None)
        try:
            context.attach(self._channel, context.id)
        except BaseException:
            del self.contexts[context.id]
            raise

    def give_up(self, context: Context) -> None:
        """Go on without a context that the server is stuck with."""
        context.give_up()
        for wire_id in [each for each, open_ in self.contexts.items() if open_ is context]:
            self._end(wire_id, _DEAF)

    def lose(self, lost: ClientError) -> None:
        """Nothing more will come."""
        contexts, self.contexts = self.contexts, {}
        for context in contexts.values():
            context.lose(lost)
        self.keepalive.lost(lost)

    def ping(self, answer: Answer | None = None) -> None:
        """Ask for a sign of life, acknowledge what came; `answer` gets the milliseconds it took."""
        self.send_queue.add_urgent(self.keepalive.ping(self._clock(), self._heard(), answer))

    # --- what comes -------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Hand an event to whom it concerns.

        Raises `ProtocolError` when it cannot be, and `Refused` when the server ends the session.
        """
        self.keepalive.heard(self._clock())
        match event:
            case Pong():
                if event.received is not None:
                    self.send_queue.confirm(event.received)
                self.keepalive.pong(event, self._clock())
                self._health.ping_ms = self.keepalive.ping_ms
            case Ready():
                raise ProtocolError("`ready` came twice")
            case Audio():
                self._hear(event)
            case _:
                self._answered(event)
                self.keepalive.answered()

    def _hear(self, audio: Audio) -> None:
        wire_id = audio.context
        if (context := self.contexts.get(wire_id)) is not None:
            self._deliver(wire_id, context, audio)
            self.keepalive.audio(len(audio.data))
        elif audio.seq > self._ended.get(wire_id, -1):
            raise ProtocolError(f"audio for a context that is not open: {audio}")

    def _answered(self, answer: Done | Cancelled | Retracted | Error) -> None:
        wire_id = answer.context or ""
        if isinstance(answer, Error) and answer.code in _ENDS_SESSION:
            raise Refused(answer.code, answer.message)
        if (context := self.contexts.get(wire_id)) is None:
            if wire_id in self._ended:
                return  # it answers what crossed the end
            if not isinstance(answer, Error):
                raise ProtocolError(f"for a context that is not open: {answer}")
            self._health.errors.append(answer)
        elif isinstance(answer, Error) and answer.code == "resume_gap":
            self._end(wire_id, context.last_seq)
            self._restart(context, f"{context.id}~{next(self._suffixes)}")
        else:
            self._deliver(wire_id, context, answer)

    def _deliver(
        self, wire_id: str, context: Context, event: Audio | Done | Cancelled | Retracted | Error
    ) -> None:
        try:
            context.deliver(event)
        except ProtocolError as error:
            if not self.suspicion.meant(error):
                raise
            context.cancel_now()
            context.lose(error)
            self._end(wire_id, _DEAF)
            return
        self.suspicion.clear()
        self._health.progress_s = self._clock()
        if context.over:
            self._end(wire_id, context.last_seq)

    def _end(self, wire_id: str, last_seq: int) -> None:
        del self.contexts[wire_id]
        self._ended[wire_id] = last_seq
        if len(self._ended) > REMEMBERED_IDS:
            del self._ended[next(iter(self._ended))]

    # --- going on after a break -------------------------------------------------------------------

    def resume(self) -> str:
        """The message that asks to go on."""
        session, token = self.ready.session, self.ready.token
        received = self.keepalive.received(self._heard())
        return wire.encode("resume", session=session, token=token, **received)

    def resumed(self, received: int) -> None:
        """The server goes on, having received so many messages. Raises `ProtocolError`."""
        self.send_queue.repeat(received)
        self._ping_again()

    def start_over(self, ready: Ready) -> None:
        """The server knows nothing any more but this fresh session."""
        self.ready = ready
        self.send_queue = SendQueue()
        self.keepalive.forgotten()
        self._ended.clear()
        contexts, self.contexts = self.contexts, {}
        for context in contexts.values():
            self._restart(context, context.id)
        self._ping_again()

    def _ping_again(self) -> None:
        for context in self.contexts.values():
            context.back()
        waiting = self.keepalive.reconnected(self._clock())
        self.ping()
        for answer in waiting:
            self.ping(answer)

    def _heard(self) -> dict[str, int]:
        return {wire_id: context.last_seq for wire_id, context in self.contexts.items()}

    def _restart(self, context: Context, wire_id: str) -> None:
        self.contexts[wire_id] = context
        restarted = context.restart(self._channel, wire_id)
        if restarted is None:
            del self.contexts[wire_id]
            return
        self._health.restarts += 1
        self._tell(restarted)
