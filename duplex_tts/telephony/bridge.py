"""The server for carriers: `/telephony/twilio` and `/telephony/telnyx`.

    async def answer(call: Call) -> None:
        async with Session.connect() as session:
            call.attach(session)
            await call.say("Hello! How can I help?")

    asyncio.run(Bridge(answer).serve(port=8090))

Carriers require TLS: use a reverse proxy, or pass `listen` an SSL context. A `Bridge` is an ASGI
application, too, and can be mounted.
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
    handle_lifespan,
    parse_handshake,
    refuse_handshake,
)
from duplex_tts.telephony.call import Call
from duplex_tts.telephony.carrier import Carrier, StreamStarted
from duplex_tts.telephony.codecs import find_codec
from duplex_tts.telephony.credentials import Credentials, Handshake, HandshakeRefusal
from duplex_tts.telephony.errors import BadCarrierMessage, CallEnded, TelephonyError
from duplex_tts.telephony.frame_pacer import LEAD_S, FramePacer
from duplex_tts.telephony.media_stream import CarrierSocket, MediaStream
from duplex_tts.telephony.telnyx import Telnyx
from duplex_tts.telephony.twilio import Twilio
from duplex_tts.telephony.websocket import MAX_MESSAGE_BYTES, WebSocket, check_handshake

log = logging.getLogger("duplex_tts.telephony")

OnCall = Callable[[Call], Awaitable[None]]

CARRIERS: dict[str, Callable[[], Carrier]] = {"twilio": Twilio, "telnyx": Telnyx}
PATH = "/telephony"
_GOING_AWAY, _POLICY_VIOLATION, _INTERNAL_ERROR = 1001, 1008, 1011
_MAX_REASON_BYTES = 123  # of a close frame (RFC 6455)


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a bridge.

    `lead_ms`: how far ahead of playback frames are sent. `max_calls`: more are refused with 503.
    `start_timeout_s`: how long a carrier may take to send `start`. `grace_s`: how long the agent
    may run after the caller has left, before it is cancelled. `telnyx_codec`: the
    `stream_bidirectional_codec` set at Telnyx, if it differs from the codec of the caller's audio
    (`stream_codec`).
    """

    lead_ms: float = LEAD_S * 1000
    max_calls: int = 100
    start_timeout_s: float = 10.0
    grace_s: float = 5.0
    telnyx_codec: str | None = None


_DEFAULTS = Options()


class Bridge:
    """Answers carriers: runs `on_call` for each call; the call ends when it returns.

    When the caller leaves, `say` raises `CallEnded`, `audio` and `digits` end, and `on_call` has
    `grace_s` to finish. Without `credentials` anyone may call, which is logged as a warning.
    Exceptions of `on_call` are logged and end its call (1011); `CallEnded` is no error.
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
        self._open_calls = 0
        self._warned_carriers: set[str] = set()

    @asynccontextmanager
    async def listen(
        self, host: str = "127.0.0.1", port: int = 8090, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[str]:
        """Answer calls while the block runs; yields the address, `ws://host:port/telephony`.

        Port 0 selects a free one. Leaving ends every call. Raises `OSError` if the port is in use.
        """
        async with serve(
            self._handle_websocket,
            host,
            port,
            ssl=tls,
            process_request=check_handshake(self._find_refusal),
            compression=None,  # base64 of mu-law does not compress
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
        """The ASGI application, for any path that ends in a carrier's name."""
        if scope["type"] == "lifespan":
            await handle_lifespan(receive, send)
            return
        handshake = parse_handshake(scope)
        refusal = self._find_refusal(handshake)
        if refusal is None and scope["type"] != "websocket":
            refusal = HandshakeRefusal(HTTPStatus.UPGRADE_REQUIRED, "connect by WebSocket")
        if refusal is not None:
            await refuse_handshake(scope, send, refusal)
            return
        socket = AsgiSocket(receive, send)
        with suppress(CallEnded):
            await socket.accept()
            await self._answer_call(socket, handshake)

    async def _handle_websocket(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        await self._answer_call(WebSocket(connection), Handshake(connection.request.path, {}))

    def _find_refusal(self, handshake: Handshake) -> HandshakeRefusal | None:
        name = handshake.carrier
        if name not in CARRIERS:
            return HandshakeRefusal(
                HTTPStatus.NOT_FOUND, f"carriers connect to {PATH}/{{{'|'.join(CARRIERS)}}}"
            )
        if self._credentials is not None and not self._credentials.accept(handshake):
            log.warning(
                "refused a call: not signed by %s, or the secret differs: see Credentials", name
            )
            return HandshakeRefusal(
                HTTPStatus.FORBIDDEN, f"not signed by {name}, or its secret is wrong"
            )
        if self._open_calls >= self._options.max_calls:
            log.warning("refused a call: %d are open: see Options.max_calls", self._open_calls)
            return HandshakeRefusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many calls; try again later"
            )
        if self._credentials is None and name not in self._warned_carriers:
            self._warned_carriers.add(name)
            log.warning("anyone who knows the address can call as %s: see Credentials", name)
        return None

    # --- a call -----------------------------------------------------------------------------------

    async def _answer_call(self, socket: CarrierSocket, handshake: Handshake) -> None:
        """Run a call, from the carrier's first message to the end."""
        carrier = CARRIERS[handshake.carrier]()
        self._open_calls += 1
        try:
            started = await self._receive_start(socket, carrier)
            stream = self._create_stream(socket, carrier, started)
            await self._run_call(stream, Call(started, carrier.name, stream))
        except CallEnded as ended:
            log.debug("%s: %s", carrier.name, ended)
        except TelephonyError as error:
            log.warning("refused a stream of %s: %s", carrier.name, error)
            await socket.close(_POLICY_VIOLATION, _shorten_reason(error))
        except asyncio.CancelledError:
            await socket.close(_GOING_AWAY, "the bridge is closed")
            raise
        finally:
            self._open_calls -= 1

    async def _receive_start(self, socket: CarrierSocket, carrier: Carrier) -> StreamStarted:
        """Wait for `start`. Raises `TelephonyError` if it is late or invalid."""
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                while True:
                    event = carrier.decode(await socket.receive())
                    if isinstance(event, StreamStarted):
                        return event
        except TimeoutError:
            raise BadCarrierMessage("timed out waiting for `start`") from None

    def _create_stream(
        self, socket: CarrierSocket, carrier: Carrier, started: StreamStarted
    ) -> MediaStream:
        codec = started.codec
        if carrier.name == Telnyx.name and (name := self._options.telnyx_codec) is not None:
            codec = find_codec(name, codec.sample_rate_hz)
        return MediaStream(socket, carrier, FramePacer(codec, self._options.lead_ms / 1000))

    async def _run_call(self, stream: MediaStream, call: Call) -> None:
        """Run the media stream and the agent until both are done."""
        async with asyncio.TaskGroup() as tasks:
            agent = tasks.create_task(
                self._run_agent(call, stream), name=f"duplex-tts-call-{call.id}"
            )
            await stream.run()
            await asyncio.wait([agent], timeout=self._options.grace_s)
            if agent.cancel():
                log.warning("call %s is over: its agent still runs and is cancelled", call.id)

    async def _run_agent(self, call: Call, stream: MediaStream) -> None:
        try:
            with suppress(CallEnded):
                await self._on_call(call)
        except Exception:
            log.exception("the agent of call %s failed", call.id)
            await stream.hang_up(_INTERNAL_ERROR, "the agent failed")
        else:
            await stream.hang_up()


def _shorten_reason(error: Exception) -> str:
    return str(error).encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
