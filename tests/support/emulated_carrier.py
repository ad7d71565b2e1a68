"""An emulated carrier: connects to a bridge as Twilio or Telnyx do, plays audio by its own clock,
handles clear and mark, and records what the caller heard.
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
from duplex_tts.telephony.codecs import FRAME_MS, TelephoneCodec, find_codec

FRAME_S = FRAME_MS / 1000
Kind = Literal["twilio", "telnyx"]
Message = dict[str, Any]


class CarrierPlayback:
    """Plays queued frames, one each 20 ms. `heard`: the frames; None where the queue was empty."""

    def __init__(self, codec: TelephoneCodec, now_s: float) -> None:
        self.heard: list[bytes | None] = []
        self._codec = codec
        self._next_s = now_s + FRAME_S
        self._queue: deque[bytes | str] = deque()

    @property
    def queued_frames(self) -> int:
        """Frames not played yet."""
        return sum(isinstance(item, bytes) for item in self._queue)

    @property
    def audio(self) -> bytes:
        """The audio heard, without the silence of an empty queue."""
        return b"".join(frame for frame in self.heard if frame is not None)

    @property
    def recording(self) -> bytes:
        """The audio heard, with that silence."""
        silence = self._codec.silence * (self._codec.frame_bytes // len(self._codec.silence))
        return b"".join(frame or silence for frame in self.heard)

    @property
    def gaps(self) -> int:
        """Missing frames between the first frame and the last."""
        missing = [frame is None for frame in self.heard]
        if False not in missing:
            return 0
        return sum(missing[missing.index(False) : len(missing) - missing[::-1].index(False)])

    def queue_frame(self, payload: bytes) -> None:
        """Play a frame after those in the queue."""
        self._queue.append(payload)

    def queue_mark(self, name: str) -> None:
        """Answer a mark after the items in the queue."""
        self._queue.append(name)

    def clear(self) -> list[str]:
        """Empty the queue. Returns its marks, to be answered."""
        marks = [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        return marks

    def play_until(self, now_s: float) -> list[str]:
        """Play until now. Returns the marks reached."""
        reached = list(self._take_marks())
        while self._next_s <= now_s + 1e-6:  # event loops round, so timers may fire early
            frame = self._queue.popleft() if self._queue else None
            assert not isinstance(frame, str)
            self.heard.append(frame)
            self._next_s += FRAME_S
            reached += self._take_marks()
        return reached

    def next_frame_s(self) -> float:
        """When the next frame is played."""
        return self._next_s

    def _take_marks(self) -> list[str]:
        marks: list[str] = []
        while self._queue and isinstance(item := self._queue[0], str):
            marks.append(item)
            self._queue.popleft()
        return marks


class EmulatedCarrier:
    """One call. `arrivals`: when each frame arrived, and how many were queued then.

    `answers_marks`: False emulates a carrier that never answers them.
    """

    def __init__(self, kind: Kind, codec: TelephoneCodec, call_id: str = "call-1") -> None:
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
        self.playback = CarrierPlayback(codec, self._now_s())
        self._chunks = itertools.count(1)
        self._played = asyncio.Event()
        self.send: Callable[[str], Awaitable[None]]
        self.drop_connection: Callable[[], None]

    async def start_stream(self, **fields: object) -> None:
        """Send the carrier's first messages; `fields` override those of `start`."""
        await self.send_event(event="connected", protocol="Call", version="1.0.0")
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
            await self.send_event(
                event="start", streamSid=start["streamSid"], start={**start, **fields}
            )
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
            await self.send_event(event="start", stream_id="ST1", start={**start, **fields})

    async def send_event(self, **fields: object) -> None:
        """Send a message to the bridge."""
        await self.send(json.dumps(fields))

    async def send_caller_audio(self, payload: bytes) -> None:
        """Send 20 ms of the caller's audio."""
        media = {
            "track": "inbound",
            "chunk": str(next(self._chunks)),
            "payload": base64.b64encode(payload).decode(),
        }
        await self.send_event(event="media", media=media)

    async def press_digit(self, digit: str) -> None:
        """The caller presses a key."""
        await self.send_event(event="dtmf", dtmf={"digit": digit})

    async def hang_up(self) -> None:
        """The caller hangs up."""
        await self.send_event(event="stop", stop={})

    def handle_message(self, message: str) -> list[str]:
        """Handle a message of the bridge. Returns the marks to answer."""
        now_s = self._now_s()
        reached = self.playback.play_until(now_s)
        fields = json.loads(message)
        if self.kind == "twilio":
            assert fields["streamSid"] == f"MZ-{self.call_id}", fields
        match fields["event"]:
            case "media":
                payload = base64.b64decode(fields["media"]["payload"], validate=True)
                self.frame_sizes.add(len(payload))
                self.arrivals.append((now_s, self.playback.queued_frames))
                self.playback.queue_frame(payload)
            case "mark":
                self.playback.queue_mark(fields["mark"]["name"])
            case "clear":
                reached += self.playback.clear()
            case other:
                raise AssertionError(f"unknown event {other!r}")
        self.events.append((now_s, fields["event"]))
        return reached + self.playback.play_until(now_s)

    async def send_marks(self, names: list[str]) -> None:
        """Tell the bridge that marks were reached."""
        for name in names if self.answers_marks else []:
            await self.send_event(event="mark", mark={"name": name})

    async def wait_until_heard(self, frames: int, within_s: float = 30.0) -> None:
        """Wait until the caller has heard this many frames."""
        async with asyncio.timeout(within_s):
            while sum(frame is not None for frame in self.playback.heard) < frames:
                self._played.clear()
                await self._played.wait()

    async def _play_frames(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self.playback.next_frame_s() - self._now_s()))
            marks = self.playback.play_until(self._now_s())
            self._played.set()
            await self.send_marks(marks)

    async def run(self, messages: AsyncIterator[str]) -> None:
        """Run the call until the bridge hangs up."""
        playing = asyncio.create_task(self._play_frames())
        try:
            async for message in messages:
                await self.send_marks(self.handle_message(message))
        finally:
            playing.cancel()
            await asyncio.wait([playing])
            self.playback.play_until(self._now_s())
            self.hung_up.set()
        if not playing.cancelled():
            playing.result()  # raise its failure


@asynccontextmanager
async def open_call(
    address: str,
    kind: Kind = "twilio",
    codec: TelephoneCodec | None = None,
    *,
    call_id: str = "call-1",
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[EmulatedCarrier]:
    """Open a call to the bridge at `address` by a real WebSocket; no `start` is sent yet."""
    carrier = EmulatedCarrier(kind, codec or find_codec("PCMU", 8000), call_id)
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

        carrier.send, carrier.drop_connection = send, socket.transport.abort
        running = asyncio.create_task(carrier.run(messages()))
        try:
            yield carrier
        finally:
            await socket.close()
            await running


@asynccontextmanager
async def open_call_in_memory(
    bridge: Bridge,
    kind: Kind = "twilio",
    codec: TelephoneCodec | None = None,
    *,
    call_id: str = "call-1",
) -> AsyncIterator[EmulatedCarrier]:
    """Open a call without a socket, for a virtual clock: the bridge is an ASGI application."""
    carrier = EmulatedCarrier(kind, codec or find_codec("PCMU", 8000), call_id)
    to_bridge: asyncio.Queue[Message] = asyncio.Queue()
    from_bridge: asyncio.Queue[str | None] = asyncio.Queue()
    to_bridge.put_nowait({"type": "websocket.connect"})

    async def send(message: str) -> None:
        to_bridge.put_nowait({"type": "websocket.receive", "text": message})

    def drop_connection() -> None:
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

    carrier.send, carrier.drop_connection = send, drop_connection
    scope = {"type": "websocket", "path": f"/telephony/{kind}", "headers": []}
    serving = asyncio.ensure_future(bridge(scope, to_bridge.get, receive_from_bridge))
    running = asyncio.create_task(carrier.run(messages()))
    try:
        yield carrier
        drop_connection()
    finally:
        await serving
        from_bridge.put_nowait(None)
        await running
