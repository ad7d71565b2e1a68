"""Where carriers connect: `/telephony/twilio` and `/telephony/telnyx`.

    async def answer(call: Call) -> None:
        async with Session.connect() as session:
            call.attach(session)
            await call.say("Hello! How can I help?")

    asyncio.run(Bridge(answer).serve(port=8090))

Carriers connect over TLS only: put a reverse proxy in front, or give `listen` an SSL context. A
`Bridge` is an ASGI application, too: mount it where you have one.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve

from duplex_tts.telephony.asgi import (
    AsgiSocket,
    Receive,
    Scope,
    Send,
    handshake_of,
    lifespan,
    refuse,
)
from duplex_tts.telephony.call import Call
from duplex_tts.telephony.carrier import Carrier, Started
from duplex_tts.telephony.codecs import codec_named
from duplex_tts.telephony.credentials import Credentials, Handshake, Refusal
from duplex_tts.telephony.errors import BadCarrierMessage, CallEnded, TelephonyError
from duplex_tts.telephony.line import CarrierSocket, Line
from duplex_tts.telephony.pacing import LEAD_S, FramePacer
from duplex_tts.telephony.telnyx import Telnyx
from duplex_tts.telephony.twilio import Twilio
from duplex_tts.telephony.websocket import MAX_MESSAGE_BYTES, WebSocket, gatekeeper

log = logging.getLogger("duplex_tts.telephony")

OnCall = Callable[[Call], Awaitable[None]]

CARRIERS: dict[str, Callable[[], Carrier]] = {"twilio": Twilio, "telnyx": Telnyx}
PATH = "/telephony"
_GOING_AWAY, _REFUSED, _FAILED = 1001, 1008, 1011
_REASON_BYTES = 123  # all that a close frame can hold (RFC 6455)


@dataclass(frozen=True, slots=True)
class Options:
    """How a bridge behaves.

    `lead_ms`: how far ahead of the caller's ear frames are sent. `max_calls`: the next is refused
    with 503. `start_timeout_s`: how long a carrier may take to say which call it is. `grace_s`: how
    long the agent's code may go on after the caller has left, before it is cancelled.
    `telnyx_codec`: the `stream_bidirectional_codec` that Telnyx was given, where it is not the
    codec of the caller's voice (`stream_codec`).
    """

    lead_ms: float = LEAD_S * 1000
    max_calls: int = 100
    start_timeout_s: float = 10.0
    grace_s: float = 5.0
    telnyx_codec: str | None = None


_DEFAULTS = Options()


class Bridge:
    """Answers carriers: each call is given to `on_call`, and is over when that returns.

    When the caller leaves, `say` raises `CallEnded`, `audio` and `digits` end, and `on_call` has
    `grace_s` to finish. Without `credentials` anybody may call, which is logged as a warning. What
    it raises is logged and ends its call (1011); `CallEnded` is no error.
    """

    def __init__(
        self,
        on_call: OnCall,
        credentials: Credentials | None = None,
        options: Options = _DEFAULTS,
    ) -> None:
        self._on_call = on_call
        self._credentials = credentials
        self._options = options
        self._calls = 0
        self._warned: set[str] = set()

    @asynccontextmanager
    async def listen(
        self, host: str = "127.0.0.1", port: int = 8090, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[str]:
        """Answer calls while the block runs; yields the address, `ws://host:port/telephony`.

        Port 0 takes a free one. Leaving ends every call. Raises `OSError` for a port in use.
        """
        async with serve(
            self._on_websocket,
            host,
            port,
            ssl=tls,
            process_request=gatekeeper(self._refusal),
            compression=None,  # base64 of mu-law does not shrink
            max_size=MAX_MESSAGE_BYTES,
        ) as server:
            bound_port = next(iter(server.sockets)).getsockname()[1]
            yield f"{'wss' if tls else 'ws'}://{host}:{bound_port}{PATH}"

    async def serve(self, host: str = "127.0.0.1", port: int = 8090) -> None:
        """Answer calls until cancelled."""
        async with self.listen(host, port) as address:
            log.info("carriers connect to %s/twilio and %s/telnyx", address, address)
            await asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application; any path that ends in a carrier's name."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        handshake = handshake_of(scope)
        refused = self._refusal(handshake)
        if refused is None and scope["type"] != "websocket":
            refused = Refusal(HTTPStatus.UPGRADE_REQUIRED, "carriers connect by WebSocket")
        if refused is not None:
            await refuse(scope, send, refused)
            return
        socket = AsgiSocket(receive, send)
        with suppress(CallEnded):
            await socket.accept()
            await self._answer(socket, handshake)

    async def _on_websocket(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        await self._answer(WebSocket(connection), Handshake(connection.request.path, {}))

    def _refusal(self, handshake: Handshake) -> Refusal | None:
        name = handshake.carrier
        if name not in CARRIERS:
            return Refusal(
                HTTPStatus.NOT_FOUND, f"carriers connect to {PATH}/{{{'|'.join(CARRIERS)}}}"
            )
        if self._credentials is not None and not self._credentials.accept(handshake):
            log.warning("refused a call: not signed by %s, or with another secret", name)
            return Refusal(HTTPStatus.FORBIDDEN, f"this is not {name}, or its secret is wrong")
        if self._calls >= self._options.max_calls:
            log.warning("refused a call: %d are on the line", self._calls)
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "all lines are busy")
        if self._credentials is None and name not in self._warned:
            self._warned.add(name)
            log.warning("whoever knows the address can call as %s: see Credentials", name)
        return None

    # --- a call -----------------------------------------------------------------------------------

    async def _answer(self, socket: CarrierSocket, handshake: Handshake) -> None:
        """From the carrier's first message to the end of the call."""
        carrier = CARRIERS[handshake.carrier]()
        self._calls += 1
        try:
            started = await self._started(socket, carrier)
            line = self._line(socket, carrier, started)
            await self._converse(line, Call(started, carrier.name, line))
        except CallEnded as ended:
            log.debug("%s: %s", carrier.name, ended)
        except TelephonyError as error:
            log.warning("refused a stream of %s: %s", carrier.name, error)
            await socket.close(_REFUSED, _short(error))
        except asyncio.CancelledError:
            await socket.close(_GOING_AWAY, "the bridge is closed")
            raise
        finally:
            self._calls -= 1

    async def _started(self, socket: CarrierSocket, carrier: Carrier) -> Started:
        """Which call it is. Raises `TelephonyError` when that is not said, or not well."""
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                while not isinstance(event := carrier.decode(await socket.receive()), Started):
                    pass
        except TimeoutError:
            raise BadCarrierMessage("no `start` came") from None
        return event

    def _line(self, socket: CarrierSocket, carrier: Carrier, started: Started) -> Line:
        codec = started.codec
        if carrier.name == Telnyx.name and (other := self._options.telnyx_codec) is not None:
            codec = codec_named(other, codec.sample_rate_hz)
        return Line(socket, carrier, FramePacer(codec, self._options.lead_ms / 1000))

    async def _converse(self, line: Line, call: Call) -> None:
        """The line and the agent's code, until both are done."""
        async with asyncio.TaskGroup() as tasks:
            agent = tasks.create_task(self._speak_to(call, line), name=f"duplex-tts-call-{call.id}")
            await line.run()
            await asyncio.wait([agent], timeout=self._options.grace_s)
            if agent.cancel():
                log.warning("call %s is over, its agent is not: cancelled", call.id)

    async def _speak_to(self, call: Call, line: Line) -> None:
        try:
            with suppress(CallEnded):
                await self._on_call(call)
        except Exception:
            log.exception("the agent of call %s failed", call.id)
            await line.hang_up(_FAILED, "the agent failed")
        else:
            await line.hang_up()


def _short(error: Exception) -> str:
    return str(error).encode()[:_REASON_BYTES].decode(errors="ignore")
