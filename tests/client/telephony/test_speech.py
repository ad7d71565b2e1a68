"""Calls with a real speech server: what the caller hears, transcribed by a small Whisper."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import soxr

from bench.harness.judge import Judge, word_errors
from duplex_tts import Options as SessionOptions
from duplex_tts import Session
from duplex_tts.channel.address import websocket_url
from duplex_tts.channel.context import Parameters
from duplex_tts.telephony import Bridge, Call, Heard, Options
from duplex_tts.telephony.codecs import TelephoneCodec, find_codec
from tests.support.emulated_carrier import EmulatedCarrier, Kind, open_call

pytestmark = pytest.mark.slow

PARCEL = "Good morning. Your parcel will arrive on Tuesday between nine and eleven."
WEATHER = "The weather tomorrow will be sunny, with a light wind from the west."
LONG_LEAD = Options(lead_ms=400)  # tests share a small machine


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(threads=2)


async def stream_words(text: str) -> AsyncIterator[str]:
    """Yield a text as a language model does."""
    for word in text.split(" "):
        await asyncio.sleep(0.05)
        yield f"{word} "


def transcribe(judge: Judge, carrier: EmulatedCarrier) -> str:
    pcm = np.frombuffer(carrier.codec.decode(carrier.playback.recording), "<i2")
    speech = soxr.resample(pcm.astype(np.float32) / 32768, carrier.codec.sample_rate_hz, 16_000)
    return judge.transcribe(speech)


CALLS: dict[str, tuple[Kind, TelephoneCodec, str]] = {
    "a": ("twilio", find_codec("PCMU", 8000), PARCEL),
    "b": ("telnyx", find_codec("PCMA", 8000), WEATHER),
    "c": ("telnyx", find_codec("L16", 16000), "Please hold the line, we will be right back."),
}


async def test_concurrent_callers_each_hear_their_own_text(url: str, judge: Judge) -> None:
    heard: dict[str, Heard] = {}

    async def call(address: str, id_: str) -> EmulatedCarrier:
        kind, codec, _ = CALLS[id_]
        async with open_call(address, kind, codec, call_id=id_) as carrier:
            await carrier.start_stream()
            await carrier.hung_up.wait()
        assert carrier.close_code == 1000
        return carrier

    async with Session.connect(url, options=SessionOptions(max_in_flight=3)) as session:

        async def agent(call: Call) -> None:
            call.attach(session)
            heard[call.id] = await call.say(stream_words(CALLS[call.id][2]))

        async with Bridge(agent, options=LONG_LEAD).listen(port=0) as address:
            carriers = await asyncio.gather(*(call(address, id_) for id_ in CALLS))
    for carrier in carriers:
        text, said = CALLS[carrier.call_id][2], heard[carrier.call_id]
        assert said.complete
        assert said.text.strip() == text
        assert 0 <= carrier.codec.duration_ms(len(carrier.playback.audio)) - said.ms < 20
        assert word_errors(text, transcribe(judge, carrier)).rate <= 0.15


async def test_barge_in_drops_the_answer_and_plays_the_next(url: str, judge: Judge) -> None:
    heard: list[Heard] = []

    async def agent(call: Call) -> None:
        async with Session.connect(url) as session, asyncio.TaskGroup() as tasks:
            call.attach(session)

            async def listen() -> None:
                async for _ in call.audio():
                    call.clear()
                    return

            tasks.create_task(listen())
            heard.append(await call.say(f"{PARCEL} {WEATHER}"))
            heard.append(await call.say("As you like."))

    async with (
        Bridge(agent, options=LONG_LEAD).listen(port=0) as address,
        open_call(address) as carrier,
    ):
        await carrier.start_stream()
        await carrier.wait_until_heard(100)
        await carrier.send_caller_audio(b"\x00" * 160)
        await carrier.hung_up.wait()
    first, second = heard
    assert not first.complete
    assert PARCEL.startswith(first.text)
    assert 0 < len(first.text) < len(PARCEL)
    assert second == Heard("As you like.", second.ms, complete=True)
    words = transcribe(judge, carrier).lower()
    assert words.startswith("good morning")
    assert words.rstrip(".").endswith("as you like")
    assert "tuesday" not in words
    assert "weather" not in words


class FlakyProxy:
    """Forwards connections to a server; can break them."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections = 0

    def break_connections(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen while the block runs; yields the address."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        async with server:
            yield "{}:{}".format(*server.sockets[0].getsockname())
            self.break_connections()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream_reader, upstream = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, upstream}
        try:
            await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))
        finally:
            self._writers -= {writer, upstream}
            for stream_writer in (writer, upstream):
                stream_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_a_call_survives_lost_connections_to_the_server(url: str) -> None:
    proxy = FlakyProxy(websocket_url(url).removeprefix("ws://").partition("/")[0])
    speaking = Parameters(seed=7)  # with whole sentences: the same bytes every time

    async def agent(call: Call) -> None:
        async with proxy.listening() as address, Session.connect(address) as session:
            call.attach(session, **speaking)
            assert (await call.say(f"Good morning. {WEATHER}")).complete

    async def hear_with_breaks(breaks: tuple[int, ...]) -> bytes:
        """What the caller hears when connections break after these numbers of frames."""
        async with (
            Bridge(agent, options=LONG_LEAD).listen(port=0) as address,
            open_call(address) as carrier,
        ):
            await carrier.start_stream()
            for frames in breaks:
                await carrier.wait_until_heard(frames)
                proxy.break_connections()
            await carrier.hung_up.wait()
        assert carrier.close_code == 1000
        return carrier.playback.audio.replace(b"\xff", b"")  # the padding

    expected = await hear_with_breaks(())
    before = proxy.connections
    assert await hear_with_breaks((1, 50, 120)) == expected
    assert proxy.connections > before + 1
