"""The state of one server session without its sockets: contexts, messages sent and received.

Synchronous, except for the futures of pings; `resuming` transports its messages. When the server
has lost the session or a context, unheard text is sent again (`Context.restart`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from duplex_tts.channel import wire
from duplex_tts.channel.context import Channel, Context
from duplex_tts.channel.keepalive import Keepalive, PingResult
from duplex_tts.channel.send_queue import SendQueue
from duplex_tts.errors import ClientError, ProtocolError, Refused
from duplex_tts.events import (
    Advice,
    Audio,
    Cancelled,
    Done,
    Error,
    Event,
    Pong,
    Ready,
    Retracted,
    SessionEvent,
    UnknownMessage,
)

log = logging.getLogger(__name__)

KEPT_ERRORS = 100
REMEMBERED_IDS = 1_000
VIOLATIONS_LIMIT = 5  # in a row: a message damaged in transit arrives intact the next time

_ENDS_SESSION = frozenset({"session_ended"})
OVERLOADED = "overloaded"
_RETRY_AFTER_MS = 1000  # of a server that does not say
_ANY_SEQ = sys.maxsize  # last `seq` of a failed context: all its later audio is ignored


@dataclass(slots=True)
class Health:
    """Counters and errors of a session, shared by its channels."""

    ping_ms: float | None = None
    reconnects: int = 0
    resumes: int = 0
    restarts: int = 0
    progress_s: float = -math.inf  # when an event of any context last arrived
    errors: deque[Error] = field(default_factory=lambda: deque(maxlen=KEPT_ERRORS))


class ViolationCounter:
    """Counts protocol violations, to tell transmission damage from a faulty server."""

    def __init__(self) -> None:
        self._last = ""
        self._in_a_row = 0

    def reset(self) -> None:
        """End the row: a valid event arrived."""
        self._in_a_row = 0

    def is_persistent(self, error: ProtocolError) -> bool:
        """Whether a retry is useless: it was the last one, too, or there were too many in a row."""
        return str(error) == self._last or self._in_a_row >= VIOLATIONS_LIMIT

    def record(self, error: ProtocolError) -> None:
        """Count a violation."""
        self._last = str(error)
        self._in_a_row += 1


class SessionState:
    """The state of one server session. `channel`: where its contexts post commands.

    `capacity_wait_s`: how long a context that an overloaded server refused waits, in all, to be
    started again.
    """

    capacity_wait_s = 0.0

    def __init__(
        self,
        ready: Ready,
        channel: Channel,
        clock: Callable[[], float],
        health: Health,
        notify: Callable[[SessionEvent], None],
    ) -> None:
        self.ready = ready
        self.contexts: dict[str, Context] = {}  # by their ids on the wire
        self.send_queue = SendQueue()
        self.keepalive = Keepalive(clock())
        self.violations = ViolationCounter()
        self._channel = channel
        self._clock = clock
        self._health = health
        self._notify = notify
        self._ended: dict[str, int] = {}  # last `seq` by wire id; oldest dropped beyond a limit
        self._suffixes = itertools.count(2)
        self._suspended_at_s: WeakKeyDictionary[Context, float] = WeakKeyDictionary()

    def open_context(self, context: Context) -> None:
        """Open a context. Raises `ValueError` when one with this id is open."""
        if context.id in self.contexts:
            raise ValueError(f"context {context.id!r} is open")
        self.contexts[context.id] = context
        self._ended.pop(context.id, None)
        try:
            context.attach(self._channel, context.id)
        except BaseException:
            del self.contexts[context.id]
            raise

    def fail_without_progress(self, context: Context) -> None:
        """Fail a context that the server is stuck with."""
        context.fail_without_progress()
        for wire_id in [id_ for id_, open_ in self.contexts.items() if open_ is context]:
            self._remove_context(wire_id, _ANY_SEQ)

    def fail_all(self, error: ClientError) -> None:
        """Fail all contexts and awaited pings."""
        contexts, self.contexts = self.contexts, {}
        for context in contexts.values():
            context.fail(error)
        self.keepalive.fail_pings(error)

    def send_ping(self, result: PingResult | None = None) -> None:
        """Queue a ping, which also acknowledges; `result` gets the round trip in milliseconds."""
        ping = self.keepalive.create_ping(self._clock(), self._last_seqs(), result)
        self.send_queue.add_urgent_message(ping)

    # --- events -----------------------------------------------------------------------------------

    def process_event(self, event: Event) -> None:
        """Deliver an event to its context, or process it here.

        Raises `ProtocolError` for an invalid one, and `Refused` when the server ends the session.
        """
        self.keepalive.note_activity(self._clock())
        match event:
            case Pong():
                if event.received is not None:
                    self.send_queue.confirm_received(event.received)
                self.keepalive.process_pong(event, self._clock())
                self._health.ping_ms = self.keepalive.ping_ms
            case Ready():
                raise ProtocolError("`ready` came twice")
            case Audio():
                self._process_audio(event)
            case Advice():
                self._process_advice(event)
                self.keepalive.note_reply()
            case UnknownMessage():
                self._process_unknown(event)
                self.keepalive.note_reply()
            case _:
                self._process_reply(event)
                self.keepalive.note_reply()

    def _process_unknown(self, message: UnknownMessage) -> None:
        """Ignore a newer server's message; it may be a damaged one, so only when it comes again."""
        error = ProtocolError(f"a message of unknown type {message.type[:40]!r}")
        if not self.violations.is_persistent(error):
            raise error
        log.info("ignored: %s", error)

    def _process_advice(self, advice: Advice) -> None:
        log.warning(
            "%s: format=%r, bit_rate=%r would fit", advice.message, advice.format, advice.bit_rate
        )
        context = self.contexts.get(advice.context)
        self._notify(replace(advice, context=context.id) if context else advice)

    def _process_audio(self, audio: Audio) -> None:
        wire_id = audio.context
        if (context := self.contexts.get(wire_id)) is not None:
            self._deliver_event(wire_id, context, audio)
            self.keepalive.note_audio(len(audio.data))
        elif audio.seq > self._ended.get(wire_id, -1):
            raise ProtocolError(f"audio for a context that is not open: {audio}")

    def _process_reply(self, reply: Done | Cancelled | Retracted | Error) -> None:
        wire_id = reply.context or ""
        if isinstance(reply, Error) and reply.code in _ENDS_SESSION:
            raise Refused(reply.code, reply.message)
        if (context := self.contexts.get(wire_id)) is None:
            if wire_id in self._ended:
                return  # a reply to a command that crossed the end
            if not isinstance(reply, Error):
                raise ProtocolError(f"for a context that is not open: {reply}")
            self._health.errors.append(reply)
        elif isinstance(reply, Error) and reply.code == "resume_gap":
            self._remove_context(wire_id, context.last_seq)
            self._restart_context(context, f"{context.id}~{next(self._suffixes)}")
        elif isinstance(reply, Error) and self._may_retry(context, reply):
            self._remove_context(wire_id, context.last_seq)
            self._suspend_context(context, _retry_after_s(reply))
        else:
            self._deliver_event(wire_id, context, reply)

    def _may_retry(self, context: Context, error: Error) -> bool:
        """Whether a context that the server has no capacity for may wait and try again."""
        if error.code != OVERLOADED or context.last_seq >= 0 or not self.capacity_wait_s:
            return False
        since_s = self._suspended_at_s.setdefault(context, self._clock())
        return self._clock() + _retry_after_s(error) - since_s <= self.capacity_wait_s

    def _suspend_context(self, context: Context, wait_s: float) -> None:
        """Start the context again in a while; until then it is open, but not on the server."""
        wire_id = f"{context.id}~{next(self._suffixes)}"
        self.contexts[wire_id] = context
        context.suspend()

        def retry() -> None:
            if self.contexts.get(wire_id) is not context:
                return  # the session was lost, or continues over HTTP
            if context.over:  # cancelled
                self._remove_context(wire_id, context.last_seq)
            elif context.is_suspended:
                self._restart_context(context, wire_id)

        asyncio.get_running_loop().call_later(wait_s, retry)

    def _deliver_event(
        self, wire_id: str, context: Context, event: Audio | Done | Cancelled | Retracted | Error
    ) -> None:
        try:
            context.process_event(event)
        except ProtocolError as error:
            if not self.violations.is_persistent(error):
                raise
            context.cancel_now()
            context.fail(error)
            self._remove_context(wire_id, _ANY_SEQ)
            return
        self.violations.reset()
        self._health.progress_s = self._clock()
        if context.over:
            self._remove_context(wire_id, context.last_seq)

    def _remove_context(self, wire_id: str, last_seq: int) -> None:
        del self.contexts[wire_id]
        self._ended[wire_id] = last_seq
        if len(self._ended) > REMEMBERED_IDS:
            del self._ended[next(iter(self._ended))]

    # --- after a reconnect ------------------------------------------------------------------------

    def resume_message(self) -> str:
        """The message that requests to resume the session."""
        session, token = self.ready.session, self.ready.token
        received = self.keepalive.acknowledgement(self._last_seqs())
        return wire.encode("resume", session=session, token=token, **received)

    def resume_session(self, received: int) -> None:
        """Send again what the server has not received, after it has resumed the session.

        `received`: number of messages that it has. Raises `ProtocolError`.
        """
        self.send_queue.resend_after(received)
        self._restart_pings()

    def start_new_session(self, ready: Ready) -> None:
        """Restart all contexts on a new session, after the server has lost the former."""
        self.ready = ready
        self.send_queue = SendQueue()
        self.keepalive.start_session()
        self._ended.clear()
        contexts, self.contexts = self.contexts, {}
        for context in contexts.values():
            if not context.over:
                self._restart_context(context, context.id)
        self._restart_pings()

    def _restart_pings(self) -> None:
        for context in self.contexts.values():
            context.connection_restored()
        awaited = self.keepalive.start_connection(self._clock())
        self.send_ping()
        for result in awaited:
            self.send_ping(result)

    def _last_seqs(self) -> dict[str, int]:
        return {
            wire_id: context.last_seq
            for wire_id, context in self.contexts.items()
            if not context.is_suspended
        }

    def _restart_context(self, context: Context, wire_id: str) -> None:
        self.contexts[wire_id] = context
        restarted = context.restart(self._channel, wire_id)
        if restarted is None:
            del self.contexts[wire_id]
            return
        self._health.restarts += 1
        self._notify(restarted)


def _retry_after_s(error: Error) -> float:
    return (error.retry_after_ms or _RETRY_AFTER_MS) / 1000
