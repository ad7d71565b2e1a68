"""A telephone company of our own: it connects to a bridge as Twilio or Telnyx do, plays what it is
sent by its own clock, honours clear and mark, and keeps what the caller heard.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from duplex_tts.telephony.bridge import Bridge
from duplex_tts.telephony.codecs import FRAME_MS, Codec, codec_named

FRAME_S = FRAME_MS / 1000
Kind = Literal["twilio", "telnyx"]
Message = dict[str, Any]


class Ear:
    """Plays 20 ms after 20 ms of what is there. `heard`: each of them, None where nothing was."""

    def __init__(self, codec: Codec, now_s: float) -> None:
        self.heard: list[bytes | None] = []
        self._codec = codec
        self._next_s = now_s + FRAME_S
        self._queue: deque[bytes | str] = deque()

    @property
    def waiting_frames(self) -> int:
        """Frames to be played."""
        return sum(isinstance(item, bytes) for item in self._queue)

    @property
    def sound(self) -> bytes:
        """What was heard, without the silence where there was nothing to play."""
        return b"".join(frame for frame in self.heard if frame is not None)

    @property
    def recording(self) -> bytes:
        """What was heard, with that silence."""
        silence = self._codec.silence * (self._codec.frame_bytes // len(self._codec.silence))
        return b"".join(frame or silence for frame in self.heard)

    @property
    def gaps(self) -> int:
        """Frames of nothing between the first sound and the last."""
        bare = [frame is None for frame in self.heard]
        if False not in bare:
            return 0
        return sum(bare[bare.index(False) : len(bare) - bare[::-1].index(False)])

    def media(self, payload: bytes) -> None:
        """To be played after what is here."""
        self._queue.append(payload)

    def mark(self, name: str) -> None:
        """To be answered after what is here."""
        self._queue.append(name)

    def clear(self) -> list[str]:
        """Forget what is here; its marks are answered."""
        marks = [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        return marks

    def play(self, now_s: float) -> list[str]:
        """Play until now. The marks that were passed."""
        passed = list(self._marks())
        while self._next_s <= now_s + 1e-6:  # timers may come early: event loops round
            frame = self._queue.popleft() if self._queue else None
            assert not isinstance(frame, str)
            self.heard.append(frame)
            self._next_s += FRAME_S
            passed += self._marks()
        return passed

    def next_s(self) -> float:
        """When it plays again."""
        return self._next_s

    def _marks(self) -> list[str]:
        marks: list[str] = []
        while self._queue and isinstance(item := self._queue[0], str):
            marks.append(item)
            self._queue.popleft()
        return marks


class EmulatedCarrier:
    """One call. `arrivals`: when each frame came, and how many waited then.

    `answers_marks`: off, to be a carrier that forgets them.
    """

    def __init__(self, kind: Kind, codec: Codec, call_id: str = "call-1") -> None:
        self.kind = kind
        self.codec = codec
        self.call_id = call_id
        self.answers_marks = True
        self.arrivals: list[tuple[float, int]] = []
        self.events: list[tuple[float, str]] = []
        self.frame_sizes: set[int] = set()
        self.hung_up: asyncio.Event = asyncio.Event()
        self.close_code: int | None = None
        self._now_s = asyncio.get_running_loop().time
        self.ear = Ear(codec, self._now_s())
        self._chunks = itertools.count(1)
        self._played = asyncio.Event()
        self.send: Callable[[str], Awaitable[None]]
        self.vanish: Callable[[], None]

    async def start(self, **fields: object) -> None:
        """What a carrier says first; `fields` change those of its `start`."""
        await self.tell(event="connected", protocol="Call", version="1.0.0")
        if self.kind == "twilio":
            encoding = {"PCMU": "audio/x-mulaw"}.get(self.codec.name, self.codec.name)
            start: Message = {
                "accountSid": "AC1",
                "streamSid": f"MZ-{self.call_id}",
                "callSid": self.call_id,
                "tracks": ["inbound"],
                "customParameters": {"customer": "Ada"},
                "mediaFormat": {
                    "encoding": encoding,
                    "sampleRate": self.codec.sample_rate_hz,
                    "channels": 1,
                },
            }
            await self.tell(event="start", streamSid=start["streamSid"], start={**start, **fields})
        else:
            start = {
                "call_control_id": self.call_id,
                "from": "+13122010094",
                "to": "+13122123456",
                "media_format": {
                    "encoding": self.codec.name,
                    "sample_rate": self.codec.sample_rate_hz,
                    "channels": 1,
                },
            }
            await self.tell(event="start", stream_id="ST1", start={**start, **fields})

    async def tell(self, **fields: object) -> None:
        """Send a message to the bridge."""
        await self.send(json.dumps(fields))

    async def speak(self, payload: bytes) -> None:
        """The caller says 20 ms of something."""
        media = {
            "track": "inbound",
            "chunk": str(next(self._chunks)),
            "payload": base64.b64encode(payload).decode(),
        }
        await self.tell(event="media", media=media)

    async def press(self, digit: str) -> None:
        """The caller presses a key."""
        await self.tell(event="dtmf", dtmf={"digit": digit})

    async def stop(self) -> None:
        """The caller hangs up."""
        await self.tell(event="stop", stop={})

    def take(self, message: str) -> list[str]:
        """What the bridge says. The marks to be answered."""
        now_s = self._now_s()
        passed = self.ear.play(now_s)
        fields = json.loads(message)
        if self.kind == "twilio":
            assert fields["streamSid"] == f"MZ-{self.call_id}", fields
        match fields["event"]:
            case "media":
                payload = base64.b64decode(fields["media"]["payload"], validate=True)
                self.frame_sizes.add(len(payload))
                self.arrivals.append((now_s, self.ear.waiting_frames))
                self.ear.media(payload)
            case "mark":
                self.ear.mark(fields["mark"]["name"])
            case "clear":
                passed += self.ear.clear()
            case other:
                raise AssertionError(f"no carrier knows {other!r}")
        self.events.append((now_s, fields["event"]))
        return passed + self.ear.play(now_s)

    async def answer(self, names: list[str]) -> None:
        """Tell the bridge that marks were passed."""
        for name in names if self.answers_marks else []:
            await self.tell(event="mark", mark={"name": name})

    async def heard(self, frames: int, within_s: float = 30.0) -> None:
        """Wait until the caller has heard so many frames of sound."""
        async with asyncio.timeout(within_s):
            while sum(frame is not None for frame in self.ear.heard) < frames:
                self._played.clear()
                await self._played.wait()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self.ear.next_s() - self._now_s()))
            marks = self.ear.play(self._now_s())
            self._played.set()
            await self.answer(marks)

    async def run(self, messages: AsyncIterator[str]) -> None:
        """Live until the bridge hangs up."""
        ticking = asyncio.create_task(self._tick())
        try:
            async for message in messages:
                await self.answer(self.take(message))
        finally:
            ticking.cancel()
            await asyncio.wait([ticking])
            self.ear.play(self._now_s())
            self.hung_up.set()
        if not ticking.cancelled():
            ticking.result()  # it never ends by itself


@asynccontextmanager
async def calling(
    address: str,
    kind: Kind = "twilio",
    codec: Codec | None = None,
    *,
    call_id: str = "call-1",
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[EmulatedCarrier]:
    """A call to a bridge that listens at `address`, by a real WebSocket; not started yet."""
    carrier = EmulatedCarrier(kind, codec or codec_named("PCMU", 8000), call_id)
    async with connect(
        f"{address}/{kind}", additional_headers=headers, compression=None, proxy=None
    ) as socket:

        async def send(message: str) -> None:
            with suppress(ConnectionClosed):  # the bridge may hang up at any moment
                await socket.send(message)

        async def messages() -> AsyncIterator[str]:
            with suppress(ConnectionClosed):
                while True:
                    message = await socket.recv()
                    assert isinstance(message, str)
                    yield message
            carrier.close_code = socket.close_code

        carrier.send, carrier.vanish = send, socket.transport.abort
        running = asyncio.create_task(carrier.run(messages()))
        try:
            yield carrier
        finally:
            await socket.close()
            await running


@asynccontextmanager
async def calling_in_memory(
    bridge: Bridge,
    kind: Kind = "twilio",
    codec: Codec | None = None,
    *,
    call_id: str = "call-1",
) -> AsyncIterator[EmulatedCarrier]:
    """The same without a socket, for scripted time: the bridge is an ASGI application."""
    carrier = EmulatedCarrier(kind, codec or codec_named("PCMU", 8000), call_id)
    to_bridge: asyncio.Queue[Message] = asyncio.Queue()
    from_bridge: asyncio.Queue[str | None] = asyncio.Queue()
    to_bridge.put_nowait({"type": "websocket.connect"})

    async def send(message: str) -> None:
        to_bridge.put_nowait({"type": "websocket.receive", "text": message})

    def vanish() -> None:
        to_bridge.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def receive_from_bridge(message: Any) -> None:
        if message["type"] == "websocket.send":
            from_bridge.put_nowait(message["text"])
        elif message["type"] == "websocket.close":
            assert carrier.close_code is None, "closed twice"
            carrier.close_code = message["code"]
            from_bridge.put_nowait(None)
            to_bridge.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    async def messages() -> AsyncIterator[str]:
        while (message := await from_bridge.get()) is not None:
            yield message

    carrier.send, carrier.vanish = send, vanish
    scope = {"type": "websocket", "path": f"/telephony/{kind}", "headers": []}
    serving = asyncio.ensure_future(bridge(scope, to_bridge.get, receive_from_bridge))
    running = asyncio.create_task(carrier.run(messages()))
    try:
        yield carrier
        vanish()
    finally:
        await serving
        from_bridge.put_nowait(None)
        await running
