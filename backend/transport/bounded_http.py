"""uvicorn's HTTP protocols with limits on the size and duration of a request.

uvicorn limits neither the head nor the duration of a request, and never closes an idle connection.
Here the head is buffered until complete and only then parsed; a request must complete in time, its
body at a minimum rate.
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
"""Limit of the request line plus headers, and of data between the chunks of a body."""
HEAD_LINES = 256
_SLICE_BYTES = 4 << 10  # of a body, per parse: at most this much of the next request is included
_BODY_BYTES_PER_S = 16 << 10  # minimum average, after the request timeout
_BODY_S = 300.0  # maximum for a body of any size
_LINGER_S = 2.0  # for a peer that is still sending to read the refusal
_BLANK_LINE = re.compile(rb"\n\r?\n")
_TOO_LARGE = f"the head of a request may have {HEAD_BYTES} bytes in {HEAD_LINES} lines"


class BoundedHttpConfig(uvicorn.Config):
    """uvicorn's settings plus the connection limits that its protocols enforce."""

    def __init__(self, app: Any, limits: ConnectionLimits, **settings: Any) -> None:
        super().__init__(
            app,
            http=_choose_http_protocol(),
            ws=BoundedWebSocket,
            h11_max_incomplete_event_size=2 * HEAD_BYTES,
            **settings,
        )
        self.limits = limits


class BoundedHttp(asyncio.Protocol):
    """Mixin for one of uvicorn's HTTP/1.1 protocols."""

    config: Any  # a `BoundedHttpConfig`
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: FlowControl
    cycle: Any  # request and response; None before the first

    _head: bytearray
    _pipelined: bytearray  # received while a request is being answered
    _phase = ""
    _timer: asyncio.TimerHandle | None = None
    _is_refused = False
    _idle_bytes = 0  # received since a head or a body chunk was complete
    _body_bytes = 0
    _since_s = 0.0

    @property
    def _in_body(self) -> bool:
        """Whether a request's head is complete but its body is not."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit or refuse the connection."""
        super().connection_made(transport)
        self._head, self._pipelined = bytearray(), bytearray()
        refusal = self.config.limits.add_connection(transport)
        self._enter_phase("head")
        if refusal is not None:
            self._refuse(*refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection's resources."""
        self._stop_timer()
        self.config.limits.remove_connection(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse complete heads, and bodies."""
        rest = memoryview(data)
        while rest and not self._is_ignoring:
            if self._phase == "answer":
                self._pipelined += rest
                self.flow.pause_reading()
                return
            part, rest = self._take_slice(rest) if self._in_body else self._take_head(rest)
            if part:
                self._parse(part)

    def on_response_complete(self) -> None:
        """Wait for the next request, with the same timeout."""
        super().on_response_complete()  # type: ignore[misc]
        self._update_phase(restart=True)
        held, self._pipelined = bytes(self._pipelined), bytearray()
        self.data_received(held)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """Stop the timer and switch to `BoundedWebSocket`."""
        self._enter_phase("websocket")
        super().handle_websocket_upgrade(*event)  # type: ignore[misc]

    def send_400_response(self, message: str) -> None:
        """Called by uvicorn for invalid HTTP."""
        self._refuse(400, message)

    # --- parsing ----------------------------------------------------------------------------------

    @property
    def _is_ignoring(self) -> bool:
        return self._is_refused or self._phase == "websocket" or self.transport.is_closing()

    def _parse(self, part: bytes) -> None:
        kept = self._unread_body_bytes()
        super().data_received(part)
        self._body_bytes += len(part)
        self._idle_bytes = 0 if self._unread_body_bytes() != kept else self._idle_bytes + len(part)
        self._update_phase()
        # Chunk extensions and trailers count too: the application never receives them.
        if self._idle_bytes > HEAD_BYTES and not self._is_answered:
            self._refuse(431, _TOO_LARGE)

    def _unread_body_bytes(self) -> int:
        """Bytes of the body that the application has not read."""
        return len(self.cycle.body) if self.cycle is not None else 0

    @property
    def _is_answered(self) -> bool:
        """Whether the response is complete while the body still arrives."""
        return bool(self._phase == "body" and self.cycle and self.cycle.response_complete)

    def _take_slice(self, data: memoryview) -> tuple[bytes, memoryview]:
        return bytes(data[:_SLICE_BYTES]), data[_SLICE_BYTES:]

    def _take_head(self, data: memoryview) -> tuple[bytes, memoryview]:
        """Return the head completed by `data` and the rest; empty while incomplete."""
        searched = max(0, len(self._head) - 2)
        self._head += data
        found = _BLANK_LINE.search(self._head, searched)
        length = found.end() if found else len(self._head)
        if length > HEAD_BYTES or self._head.count(b"\n", 0, length) > HEAD_LINES:
            self._refuse(431, _TOO_LARGE)
        if self._is_refused or found is None:
            return b"", data[:0]
        following = len(self._head) - length
        head = bytes(self._head[:length])
        self._head = bytearray()
        return head, data[len(data) - following :]

    # --- timeouts ---------------------------------------------------------------------------------

    def _update_phase(self, *, restart: bool = False) -> None:
        if self._in_body:
            phase = "body"
        elif self.cycle is not None and not self.cycle.response_complete:
            phase = "answer"
        else:
            phase = "head"
        if not self._is_ignoring and (restart or phase != self._phase):
            self._enter_phase(phase)

    def _enter_phase(self, phase: str) -> None:
        self._stop_timer()
        self._phase = phase
        self._idle_bytes = self._body_bytes = 0
        if phase in ("head", "body"):
            self._since_s = self.loop.time()
            self._timer = self.loop.call_later(self.config.limits.timeout_s, self._check_timeout)
            self.config.limits.mark_waiting(self)

    def _stop_timer(self) -> None:
        self.config.limits.mark_busy(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_timeout(self) -> None:
        """Refuse or close, unless a large body is in time or waits for the application."""
        left_s = self._since_s + self._allowed_s() - self.loop.time()
        if left_s > 0 or self.flow.read_paused:
            self._timer = self.loop.call_later(max(left_s, 0.1), self._check_timeout)
        elif (self._head or self._phase == "body") and not self._is_answered:
            self._refuse(408, "the request was not complete in time")
        else:  # nothing received, for example a browser's preconnect
            self.transport.close()

    def _allowed_s(self) -> float:
        allowed_s: float = self.config.limits.timeout_s
        if self._phase != "body" or self._is_answered:
            return allowed_s
        return min(allowed_s + self._body_bytes / _BODY_BYTES_PER_S, max(_BODY_S, allowed_s))

    # --- refusing ---------------------------------------------------------------------------------

    def _refuse(self, status: int, reason: str) -> None:
        """Send an error, unless a response has started, and close."""
        if self._is_refused:
            return
        log.info("connection.refused", status=status, why=reason)
        self._stop_timer()
        self._is_refused = True
        self._head = bytearray()
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True  # as if the client had disconnected
            self.cycle.message_event.set()
        self.transport.write(_format_response(status, reason))
        self.flow.resume_reading()  # and forget: closed at once, it may not read the answer
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.abort)


class BoundedH11(BoundedHttp, H11Protocol):
    """Parser: h11."""

    @property
    def _in_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY


def _choose_http_protocol() -> type[BoundedHttp]:
    """Choose the installed parser, as uvicorn does."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return BoundedH11

    class BoundedHttpTools(BoundedHttp, HttpToolsProtocol):
        """Parser: httptools."""

        _in_message = False

        @property
        def _in_body(self) -> bool:
            return self._in_message

        def on_headers_complete(self) -> None:
            """Called by the parser."""
            self._in_message = True
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            """Called by the parser."""
            self._in_message = False
            super().on_message_complete()

    return BoundedHttpTools


def _format_response(status: int, reason: str) -> bytes:
    body = json.dumps({"error": HTTPStatus(status).phrase, "message": reason}).encode()
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
