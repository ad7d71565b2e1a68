"""uvicorn's protocols for HTTP, with bounds on the size and the time of a request.

uvicorn bounds neither the head of a request nor the time that one takes, and keeps a connection
that says nothing for ever. Here the head is kept until it is complete, and only then parsed; a
request has to be complete in time, its body at a rate that a slow line has.
"""

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import Any

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from backend.transport.bounded_websocket import BoundedWebSocket
from backend.transport.connection_limits import ConnectionLimits

log = structlog.get_logger(__name__)

HEAD_BYTES = 64 << 10
"""Of the request line and the headers together; also of what stands between parts of a body."""
HEAD_LINES = 256
_SLICE_BYTES = 4 << 10  # of a body, at a time: so much of what follows it is parsed unseen
_BODY_BYTES_PER_S = 16 << 10  # the least on average, after the time that every request has
_BODY_S = 300.0  # the most that a body may take, however large
_LINGER_S = 2.0  # for a peer that is still sending to read why it was refused
_BLANK_LINE = re.compile(rb"\n\r?\n")
_TOO_LARGE = f"the head of a request may have {HEAD_BYTES} bytes in {HEAD_LINES} lines"


class BoundedHttpConfig(uvicorn.Config):
    """uvicorn's settings, with the guard that its protocols ask."""

    def __init__(self, app: Any, guard: ConnectionLimits, **settings: Any) -> None:
        super().__init__(
            app,
            http=_http_protocol(),
            ws=BoundedWebSocket,
            h11_max_incomplete_event_size=2 * HEAD_BYTES,
            **settings,
        )
        self.guard = guard


class BoundedHttp(asyncio.Protocol):
    """Stands before one of uvicorn's protocols for HTTP/1.1."""

    config: Any  # a `BoundedHttpConfig`
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: FlowControl
    cycle: Any  # a request and its answer; None before the first

    _head: bytearray
    _held: bytearray  # came while a request is being answered
    _phase = ""
    _timer: asyncio.TimerHandle | None = None
    _refused = False
    _idle_bytes = 0  # received since something was complete: a head, a part of a body
    _body_bytes = 0
    _since_s = 0.0

    @property
    def _in_body(self) -> bool:
        """Whether the head of a request is complete, and the request is not."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or tell it why not."""
        super().connection_made(transport)
        self._head, self._held = bytearray(), bytearray()
        refusal = self.config.guard.refusal(transport)
        self._enter("head")
        if refusal is not None:
            self._refuse(*refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_timing()
        self.config.guard.left(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what may be parsed: whole heads, and bodies."""
        rest = memoryview(data)
        while rest and not self._deaf:
            if self._phase == "answer":
                self._held += rest
                self.flow.pause_reading()
                return
            part, rest = self._body(rest) if self._in_body else self._complete_head(rest)
            if part:
                self._parse(part)

    def on_response_complete(self) -> None:
        """Wait for the next request, as long as for the first."""
        super().on_response_complete()  # type: ignore[misc]
        self._follow(anew=True)
        held, self._held = bytes(self._held), bytearray()
        self.data_received(held)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """It has sent a whole request, and goes on as a `BoundedWebSocket`."""
        self._enter("websocket")
        super().handle_websocket_upgrade(*event)  # type: ignore[misc]

    def send_400_response(self, message: str) -> None:
        """What uvicorn does with that which is no HTTP."""
        self._refuse(400, message)

    # --- what is sent -----------------------------------------------------------------------------

    @property
    def _deaf(self) -> bool:
        return self._refused or self._phase == "websocket" or self.transport.is_closing()

    def _parse(self, part: bytes) -> None:
        kept = self._kept_bytes()
        super().data_received(part)
        self._body_bytes += len(part)
        self._idle_bytes = 0 if self._kept_bytes() != kept else self._idle_bytes + len(part)
        self._follow()
        # Extensions of chunks and trailers are heads, too: nothing that the application is given.
        if self._idle_bytes > HEAD_BYTES and not self._answered:
            self._refuse(431, _TOO_LARGE)

    def _kept_bytes(self) -> int:
        """Of the request's body, for the application to take."""
        return len(self.cycle.body) if self.cycle is not None else 0

    @property
    def _answered(self) -> bool:
        """Whether the answer is complete, and the body still comes."""
        return bool(self._phase == "body" and self.cycle and self.cycle.response_complete)

    def _body(self, data: memoryview) -> tuple[bytes, memoryview]:
        return bytes(data[:_SLICE_BYTES]), data[_SLICE_BYTES:]

    def _complete_head(self, data: memoryview) -> tuple[bytes, memoryview]:
        """The head that `data` completes, and what follows. Nothing while it is not complete."""
        searched = max(0, len(self._head) - 2)
        self._head += data
        found = _BLANK_LINE.search(self._head, searched)
        length = found.end() if found else len(self._head)
        if length > HEAD_BYTES or self._head.count(b"\n", 0, length) > HEAD_LINES:
            self._refuse(431, _TOO_LARGE)
        if self._refused or found is None:
            return b"", data[:0]
        following = len(self._head) - length
        head = bytes(self._head[:length])
        self._head = bytearray()
        return head, data[len(data) - following :]

    # --- time -------------------------------------------------------------------------------------

    def _follow(self, *, anew: bool = False) -> None:
        if self._in_body:
            phase = "body"
        elif self.cycle is not None and not self.cycle.response_complete:
            phase = "answer"
        else:
            phase = "head"
        if not self._deaf and (anew or phase != self._phase):
            self._enter(phase)

    def _enter(self, phase: str) -> None:
        self._stop_timing()
        self._phase = phase
        self._idle_bytes = self._body_bytes = 0
        if phase in ("head", "body"):
            self._since_s = self.loop.time()
            self._timer = self.loop.call_later(self.config.guard.timeout_s, self._expire)
            self.config.guard.waiting(self)

    def _stop_timing(self) -> None:
        self.config.guard.busy(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        """The time is up, unless it is that of a large body which comes in, or waits for us."""
        left_s = self._since_s + self._allowed_s() - self.loop.time()
        if left_s > 0 or self.flow.read_paused:
            self._timer = self.loop.call_later(max(left_s, 0.1), self._expire)
        elif (self._head or self._phase == "body") and not self._answered:
            self._refuse(408, "the request was not complete in time")
        else:  # nothing came: a browser that connects in advance, or nothing good
            self.transport.close()

    def _allowed_s(self) -> float:
        allowed_s: float = self.config.guard.timeout_s
        if self._phase != "body" or self._answered:
            return allowed_s
        return min(allowed_s + self._body_bytes / _BODY_BYTES_PER_S, max(_BODY_S, allowed_s))

    # --- the end ----------------------------------------------------------------------------------

    def _refuse(self, status: int, why: str) -> None:
        """Tell why, if nothing else is being told, and hang up."""
        if self._refused:
            return
        log.info("connection.refused", status=status, why=why)
        self._stop_timing()
        self._refused = True
        self._head = bytearray()
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True  # for the application its client is gone
            self.cycle.message_event.set()
        self.transport.write(_answer(status, why))
        self.flow.resume_reading()  # and forget: closed at once, it may not read the answer
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.abort)


class BoundedH11(BoundedHttp, H11Protocol):
    """Without httptools."""

    @property
    def _in_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY


def _http_protocol() -> type[BoundedHttp]:
    """With the parser that is installed, as uvicorn chooses it."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return BoundedH11

    class GuardedHttpTools(BoundedHttp, HttpToolsProtocol):
        """With httptools."""

        _in_message = False

        @property
        def _in_body(self) -> bool:
            return self._in_message

        def on_headers_complete(self) -> None:
            """The parser calls."""
            self._in_message = True
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            """The parser calls."""
            self._in_message = False
            super().on_message_complete()

    return GuardedHttpTools


def _answer(status: int, why: str) -> bytes:
    body = json.dumps({"error": HTTPStatus(status).phrase, "message": why}).encode()
    lines = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/json",
        "x-content-type-options: nosniff",
        f"content-length: {len(body)}",
        "connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode() + body
