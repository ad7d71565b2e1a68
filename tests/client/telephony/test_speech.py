"""Calls to a real speech server: what the caller hears, by the ear of a small Whisper."""

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
from duplex_tts.telephony.codecs import Codec, codec_named
from tests.support.emulated_carrier import EmulatedCarrier, Kind, calling

PARCEL = "Good morning. Your parcel will arrive on Tuesday between nine and eleven."
WEATHER = "The weather tomorrow will be sunny, with a light wind from the west."
PATIENT = Options(lead_ms=400)  # these tests share a small machine with others


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(threads=2)


async def tokens(text: str) -> AsyncIterator[str]:
    """As a language model writes it."""
    for word in text.split(" "):
        await asyncio.sleep(0.05)
        yield f"{word} "


def understood(judge: Judge, carrier: EmulatedCarrier) -> str:
    pcm = np.frombuffer(carrier.codec.decode(carrier.ear.recording), "<i2")
    speech = soxr.resample(pcm.astype(np.float32) / 32768, carrier.codec.sample_rate_hz, 16_000)
    return judge.transcribe(speech)


LINES: dict[str, tuple[Kind, Codec, str]] = {
    "a": ("twilio", codec_named("PCMU", 8000), PARCEL),
    "b": ("telnyx", codec_named("PCMA", 8000), WEATHER),
    "c": ("telnyx", codec_named("L16", 16000), "Please hold the line, we will be right back."),
}


async def test_callers_at_once_each_understand_what_is_said_to_them(url: str, judge: Judge) -> None:
    heard: dict[str, Heard] = {}

    async def call(address: str, id_: str) -> EmulatedCarrier:
        kind, codec, _ = LINES[id_]
        async with calling(address, kind, codec, call_id=id_) as carrier:
            await carrier.start()
            await carrier.hung_up.wait()
        assert carrier.close_code == 1000
        return carrier

    async with Session.connect(url, options=SessionOptions(max_in_flight=3)) as session:

        async def agent(call: Call) -> None:
            call.attach(session)
            heard[call.id] = await call.say(tokens(LINES[call.id][2]))

        async with Bridge(agent, options=PATIENT).listen(port=0) as address:
            carriers = await asyncio.gather(*(call(address, id_) for id_ in LINES))
    for carrier in carriers:
        text, said = LINES[carrier.call_id][2], heard[carrier.call_id]
        assert said.complete
        assert said.text.strip() == text
        assert 0 <= carrier.codec.duration_ms(len(carrier.ear.sound)) - said.ms < 20
        assert word_errors(text, understood(judge, carrier)).rate <= 0.15


async def test_who_interrupts_hears_silence_and_then_the_next_answer(
    url: str, judge: Judge
) -> None:
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
        Bridge(agent, options=PATIENT).listen(port=0) as address,
        calling(address) as carrier,
    ):
        await carrier.start()
        await carrier.heard(100)
        await carrier.speak(b"\x00" * 160)
        await carrier.hung_up.wait()
    first, second = heard
    assert not first.complete
    assert PARCEL.startswith(first.text)
    assert 0 < len(first.text) < len(PARCEL)
    assert second == Heard("As you like.", second.ms, complete=True)
    words = understood(judge, carrier).lower()
    assert words.startswith("good morning")
    assert words.rstrip(".").endswith("as you like")
    assert "tuesday" not in words
    assert "weather" not in words


class Blink:
    """Forwards connections to a server, and can break them off."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections = 0

    def cut(self) -> None:
        """Reset every connection, as a network does that goes away."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        async with server:
            yield "{}:{}".format(*server.sockets[0].getsockname())
            self.cut()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        onwards_reader, onwards = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, onwards}
        try:
            await asyncio.gather(_copy(reader, onwards), _copy(onwards_reader, writer))
        finally:
            self._writers -= {writer, onwards}
            for each in (writer, onwards):
                each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_a_call_goes_on_when_the_connection_to_the_server_breaks(url: str) -> None:
    blink = Blink(websocket_url(url).removeprefix("ws://").partition("/")[0])
    speaking = Parameters(seed=7)  # and whole sentences: the same bytes every time

    async def agent(call: Call) -> None:
        async with blink.listening() as address, Session.connect(address) as session:
            call.attach(session, **speaking)
            assert (await call.say(f"Good morning. {WEATHER}")).complete

    async def heard_through(cuts: tuple[int, ...]) -> bytes:
        """What the caller hears when the network blinks after so many frames."""
        async with (
            Bridge(agent, options=PATIENT).listen(port=0) as address,
            calling(address) as carrier,
        ):
            await carrier.start()
            for frames in cuts:
                await carrier.heard(frames)
                blink.cut()
            await carrier.hung_up.wait()
        assert carrier.close_code == 1000
        return carrier.ear.sound.replace(b"\xff", b"")  # the padding

    undisturbed = await heard_through(())
    before = blink.connections
    assert await heard_through((1, 50, 120)) == undisturbed
    assert blink.connections > before + 1
