"""Calls in scripted time: an emulated carrier, the bridge between, and a scripted session."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, cast

import pytest

from duplex_tts import Audio, ClientError, ConnectionLost, Session, Word
from duplex_tts.telephony import Bridge, Call, CallEnded, Heard, Options, TelephonyError
from duplex_tts.telephony.codecs import codec_named
from duplex_tts.telephony.line import Line
from duplex_tts.telephony.pacing import FramePacer
from duplex_tts.telephony.telnyx import Telnyx
from duplex_tts.utterance import Utterance
from tests.client.telephony.test_carriers import TWILIO_START
from tests.support import clock
from tests.support.emulated_carrier import FRAME_S, EmulatedCarrier, Kind, calling_in_memory

PCMU = codec_named("PCMU", 8000)
WORD_MS = 200.0
Scenario = Callable[[Call], Awaitable[None]]


class ScriptedUtterance:
    """Every word lasts 200 ms and comes 20 ms after the one before; its bytes are its number."""

    def __init__(self, text: str, parameters: dict[str, Any]) -> None:
        self.text = text
        self.parameters = parameters
        self.words: tuple[Word, ...] = ()
        self.reports_ms: list[float] = []
        self.cancelled = False
        self.failure: ClientError | None = None
        self.pauses_s: dict[int, float] = {}
        self._cancelled = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Audio]:
        at = 0
        rate = self.parameters["sample_rate"] * (
            2 if self.parameters["format"] == "pcm_s16le" else 1
        )
        for number, word in enumerate(self.text.split(), start=1):
            try:
                async with asyncio.timeout(0.02 + self.pauses_s.get(number, 0.0)):
                    await self._cancelled.wait()
                return
            except TimeoutError:
                pass
            begin = self.text.index(word, at)
            spoken = Word(begin, begin + len(word), (number - 1) * WORD_MS, number * WORD_MS)
            self.words = (*self.words, spoken)
            data = bytes([number]) * int(rate * WORD_MS / 1000)
            yield Audio("c", number, spoken.start_ms, WORD_MS, (at, spoken.end), (spoken,), data)
            at = spoken.end
        if self.failure is not None:
            raise self.failure

    def cancel(self) -> None:
        self.cancelled = True
        self._cancelled.set()

    def played(self, ms: float) -> None:
        self.reports_ms.append(ms)


class ScriptedSession:
    """Speaks as a session does, by itself."""

    def __init__(self) -> None:
        self.utterances: list[ScriptedUtterance] = []
        self.failure: ClientError | None = None
        self.pauses_s: dict[int, float] = {}

    def speak(self, text: str, **parameters: Any) -> ScriptedUtterance:
        utterance = ScriptedUtterance(text, parameters)
        utterance.failure, utterance.pauses_s = self.failure, self.pauses_s
        self.utterances.append(utterance)
        return utterance


def attach(call: Call, session: ScriptedSession | None = None) -> ScriptedSession:
    session = session or ScriptedSession()
    call.attach(cast(Session, session))
    return session


def in_a_call(
    agent: Scenario,
    caller: Callable[[EmulatedCarrier], Coroutine[Any, Any, None]] | None = None,
    kind: Kind = "twilio",
    codec: str = "PCMU",
    options: Options = Options(),  # noqa: B008
) -> EmulatedCarrier:
    """One call, which the agent ends, or the caller; what the agent fails with is raised."""
    failures: list[Exception] = []

    async def watched(call: Call) -> None:
        try:
            await agent(call)
        except CallEnded:
            raise
        except Exception as error:
            failures.append(error)
            raise

    async def live() -> EmulatedCarrier:
        rate = 16000 if codec == "L16" else 8000
        bridge = Bridge(watched, options=options)
        async with calling_in_memory(bridge, kind, codec_named(codec, rate)) as carrier:
            await carrier.start()
            if caller is None:
                await carrier.hung_up.wait()
            else:
                await caller(carrier)
        return carrier

    carrier = clock.run(live())
    if failures:
        raise failures[0]
    return carrier


def words(count: int) -> str:
    return " ".join(f"word{number}" for number in range(1, count + 1))


def test_the_caller_hears_what_is_said_and_say_returns_when_he_has() -> None:
    heard: list[Heard] = []
    times_s: list[float] = []

    async def agent(call: Call) -> None:
        attach(call)
        heard.append(await call.say(words(10)))
        times_s.append(asyncio.get_running_loop().time())

    carrier = in_a_call(agent)
    assert heard == [Heard(words(10), 2000.0, complete=True)]
    assert carrier.ear.sound == b"".join(bytes([n]) * 1600 for n in range(1, 11))
    assert carrier.ear.gaps == 0
    assert carrier.frame_sizes == {160}
    assert 2.0 <= times_s[0] <= 2.1
    assert carrier.close_code == 1000


@pytest.mark.parametrize(
    ("kind", "codec", "format_", "rate", "frame"),
    [
        ("twilio", "PCMU", "mulaw", 8000, 160),
        ("telnyx", "PCMU", "mulaw", 8000, 160),
        ("telnyx", "PCMA", "alaw", 8000, 160),
        ("telnyx", "L16", "pcm_s16le", 16000, 640),
    ],
)
def test_the_server_is_asked_for_the_codec_of_the_call(
    kind: Kind, codec: str, format_: str, rate: int, frame: int
) -> None:
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        sessions.append(attach(call))
        await call.say(words(3))

    carrier = in_a_call(agent, kind=kind, codec=codec)
    (utterance,) = sessions[0].utterances
    assert (utterance.parameters["format"], utterance.parameters["sample_rate"]) == (format_, rate)
    assert carrier.frame_sizes == {frame}
    assert carrier.ear.gaps == 0


def test_telnyx_may_take_another_codec_than_it_sends() -> None:
    async def agent(call: Call) -> None:
        session = attach(call)
        await call.say("hello")
        assert session.utterances[0].parameters["format"] == "mulaw"
        async for pcm in call.audio():
            assert pcm == b"\x08\x00" * 160  # A-law's smallest step
            return

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.speak(b"\xd5" * 160)
        await carrier.hung_up.wait()

    carrier = in_a_call(agent, caller, "telnyx", "PCMA", Options(telnyx_codec="PCMU"))
    assert carrier.close_code == 1000


def test_parameters_of_the_call_and_of_what_is_said() -> None:
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        session = ScriptedSession()
        sessions.append(session)
        call.attach(cast(Session, session), voice="heart", speed=1.1)
        await call.say("one")
        await call.say("two", speed=1.5)

    in_a_call(agent)
    said = [(u.parameters["voice"], u.parameters["speed"]) for u in sessions[0].utterances]
    assert said == [("heart", 1.1), ("heart", 1.5)]


def test_what_is_said_meanwhile_comes_after_it_without_a_pause() -> None:
    async def agent(call: Call) -> None:
        attach(call)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.say(words(3)))
            tasks.create_task(call.say(words(2)))

    carrier = in_a_call(agent)
    expected = [1, 2, 3, 1, 2]
    assert carrier.ear.sound == b"".join(bytes([n]) * 1600 for n in expected)
    assert carrier.ear.gaps == 0


def test_barge_in_silences_the_caller_within_a_frame() -> None:
    heard: list[Heard] = []
    cleared: list[float] = []
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        sessions.append(attach(call))

        async def listen() -> None:
            async for _ in call.audio():
                cleared.append(asyncio.get_running_loop().time())
                call.clear()
                return

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            heard.append(await call.say(words(10)))
            heard.append(await call.say("and now"))

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.heard(41)
        await carrier.speak(b"\x00" * 160)
        await carrier.hung_up.wait()

    carrier = in_a_call(agent, caller)
    when = next(time_s for time_s, event in carrier.events if event == "clear")
    assert when - cleared[0] <= FRAME_S
    after = [event for time_s, event in carrier.events if cleared[0] <= time_s <= when]
    assert after == ["clear"]
    assert not heard[0].complete
    assert heard[0].text == "word1 word2 word3 word4"
    assert abs(heard[0].ms - 820) <= 40
    assert heard[1] == Heard("and now", 400.0, complete=True)
    assert sessions[0].utterances[0].cancelled
    assert sum(frame is not None and frame[0] > 4 for frame in carrier.ear.heard) <= 2


def test_a_clear_does_not_wait_for_the_server() -> None:
    async def agent(call: Call) -> None:
        session = attach(call)
        session.pauses_s = {4: 100.0}
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, call.clear)
        heard = await call.say(words(10))
        assert heard.text == words(3)
        assert loop.time() == pytest.approx(1.0, abs=0.01)
        assert session.utterances[0].cancelled

    assert in_a_call(agent).close_code == 1000


def test_cancelling_what_is_said_is_silence_too() -> None:
    async def agent(call: Call) -> None:
        session = attach(call)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await call.say(words(10))
        assert session.utterances[0].cancelled
        await asyncio.sleep(1.0)

    carrier = in_a_call(agent)
    assert [event for _, event in carrier.events][-1] == "clear"
    assert len(carrier.ear.sound) <= 160 * 51


def test_the_server_hears_from_marks_what_was_heard() -> None:
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        sessions.append(attach(call))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.say(words(10)))
            tasks.create_task(call.say(words(3)))

    in_a_call(agent)
    first, second = sessions[0].utterances
    assert first.reports_ms == [20.0, 520.0, 1020.0, 1520.0]
    assert second.reports_ms[:4] == [0.0, 0.0, 0.0, 0.0]  # it waits, and the server knows


def test_how_far_the_caller_has_heard_is_told_by_marks() -> None:
    told: list[Heard] = []

    async def agent(call: Call) -> None:
        attach(call)
        await call.say(words(6), told.append)

    in_a_call(agent)
    assert told == [
        Heard("", 20.0, complete=False),
        Heard("word1 word2 word3", 520.0, complete=False),
        Heard("word1 word2 word3 word4 word5", 1020.0, complete=False),
        Heard(words(6), 1200.0, complete=True),
    ]


def test_a_late_server_is_a_gap_and_counted() -> None:
    async def agent(call: Call) -> None:
        session = attach(call)
        session.pauses_s = {5: 1.5}
        await call.say(words(8))
        assert call.stats.gaps == 1

    carrier = in_a_call(agent)
    assert carrier.ear.sound == b"".join(bytes([n]) * 1600 for n in range(1, 9))
    assert carrier.ear.gaps > 0
    assert carrier.close_code == 1000


def test_what_cannot_be_spoken_is_raised_after_what_could() -> None:
    async def agent(call: Call) -> None:
        session = attach(call)
        session.failure = ConnectionLost("gone")
        with pytest.raises(ConnectionLost):
            await call.say(words(3))
        session.failure = None
        await call.say(words(1))

    carrier = in_a_call(agent)
    assert carrier.ear.sound == b"".join(bytes([n]) * 1600 for n in [1, 2, 3, 1])
    assert carrier.close_code == 1000


def test_without_a_session_nothing_can_be_said() -> None:
    async def agent(call: Call) -> None:
        with pytest.raises(TelephonyError, match="attach"):
            await call.say("hello")

    assert in_a_call(agent).close_code == 1000


def test_who_calls_and_what_was_given_to_the_stream() -> None:
    seen: list[tuple[Any, ...]] = []

    async def agent(call: Call) -> None:
        seen.append((call.carrier, call.id, call.caller, call.called, dict(call.parameters)))

    in_a_call(agent, kind="twilio")
    in_a_call(agent, kind="telnyx")
    assert seen == [
        ("twilio", "call-1", None, None, {"customer": "Ada"}),
        ("telnyx", "call-1", "+13122010094", "+13122123456", {}),
    ]


def test_what_the_caller_says_and_presses() -> None:
    sounds: list[bytes] = []
    digits: list[str] = []

    async def agent(call: Call) -> None:
        async def press() -> None:
            async for digit in call.digits():
                digits.append(digit)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(press())
            async for pcm in call.audio():
                sounds.append(pcm)

    async def caller(carrier: EmulatedCarrier) -> None:
        for code in (0xFF, 0x80, 0x00):
            await carrier.speak(bytes([code]) * 160)
        for digit in "17#":
            await carrier.press(digit)
        await carrier.stop()
        await carrier.hung_up.wait()

    in_a_call(agent, caller)
    levels = [int.from_bytes(pcm[:2], "little", signed=True) for pcm in sounds]
    assert levels == [0, 32124, -32124]
    assert [len(pcm) for pcm in sounds] == [320] * 3
    assert digits == ["1", "7", "#"]


def test_what_comes_in_another_order_is_put_right() -> None:
    said: list[bytes] = []

    async def agent(call: Call) -> None:
        async for pcm in call.audio():
            said.append(pcm[:2])

    async def caller(carrier: EmulatedCarrier) -> None:
        for chunk in (1, 3, 2, 4):
            payload = base64.b64encode(bytes([0x80 + chunk]) * 160).decode()
            media = {"track": "inbound", "chunk": str(chunk), "payload": payload}
            await carrier.tell(event="media", media=media)
        await carrier.stop()
        await carrier.hung_up.wait()

    in_a_call(agent, caller, "telnyx")
    assert said == [PCMU.decode(bytes([0x80 + chunk])) for chunk in (1, 2, 3, 4)]


def test_what_the_caller_says_is_kept_for_half_a_minute_while_nobody_listens() -> None:
    async def agent(call: Call) -> None:
        await asyncio.sleep(60.0)
        assert call.stats.dropped_sounds == 500
        taken = 0
        async for _ in call.audio():
            taken += 1
            if taken == 1500:
                return

    async def caller(carrier: EmulatedCarrier) -> None:
        for _ in range(2000):
            await carrier.speak(b"\xff" * 160)
        await carrier.hung_up.wait()

    assert in_a_call(agent, caller).close_code == 1000


@pytest.mark.parametrize("how", ["stop", "vanish"])
def test_a_caller_who_leaves_in_mid_word_ends_everything(how: str) -> None:
    sessions: list[ScriptedSession] = []
    raised: list[BaseException] = []
    tidied: list[str] = []

    async def agent(call: Call) -> None:
        sessions.append(attach(call))
        try:
            await call.say(words(20))
        except CallEnded as ended:
            raised.append(ended)
            assert call.ended
            with pytest.raises(CallEnded):
                await call.say("are you there?")
            raise
        finally:
            tidied.append(call.id)

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.heard(20)
        if how == "stop":
            await carrier.stop()
        else:
            carrier.vanish()
        await carrier.hung_up.wait() if how == "stop" else None

    in_a_call(agent, caller)
    assert len(raised) == 1
    assert tidied == ["call-1"]
    assert all(utterance.cancelled for utterance in sessions[0].utterances)


def test_an_agent_that_does_not_notice_is_cancelled_after_the_grace() -> None:
    lived_s: list[float] = []

    async def agent(_: Call) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            lived_s.append(asyncio.get_running_loop().time())

    async def caller(carrier: EmulatedCarrier) -> None:
        await asyncio.sleep(1.0)
        carrier.vanish()

    in_a_call(agent, caller, options=Options(grace_s=3.0))
    assert lived_s == [pytest.approx(4.0, abs=0.1)]


def test_an_agent_that_fails_is_logged_and_its_call_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def agent(_: Call) -> None:
        raise RuntimeError("my mistake")

    async def live() -> EmulatedCarrier:
        async with calling_in_memory(Bridge(agent)) as carrier:
            await carrier.start()
            await carrier.hung_up.wait()
        return carrier

    with caplog.at_level(logging.ERROR, "duplex_tts.telephony"):
        carrier = clock.run(live())
    assert carrier.close_code == 1011
    assert "my mistake" in caplog.text


def test_hanging_up_ends_the_call_at_once() -> None:
    async def agent(call: Call) -> None:
        attach(call)
        saying = asyncio.create_task(call.say(words(50)))
        await asyncio.sleep(1.0)
        await call.hangup()
        with pytest.raises(CallEnded):
            await saying

    carrier = in_a_call(agent)
    assert carrier.close_code == 1000
    assert 48 <= len(carrier.ear.sound) / 160 <= 57


def test_hanging_up_twice_is_once() -> None:
    async def agent(call: Call) -> None:
        await call.hangup()
        await call.hangup()

    assert in_a_call(agent).close_code == 1000


def test_a_server_that_shuts_down_says_so_to_the_carrier() -> None:
    begun = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def agent(_: Call) -> None:
        begun.set()
        await asyncio.sleep(1000)

    async def live() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for text in (None, json.dumps(TWILIO_START)):
            kind = "websocket.connect" if text is None else "websocket.receive"
            messages.put_nowait({"type": kind, "text": text})

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/twilio", "headers": []}
        serving = asyncio.ensure_future(Bridge(agent)(scope, messages.get, send))
        await begun.wait()
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()

    clock.run(live())
    assert sent[-1]["code"] == 1001


class SlowSocket:
    """A carrier that reads slowly: each message takes `send_s`."""

    def __init__(self, send_s: float) -> None:
        self.sent: list[str] = []
        self.on_sent: Callable[[], None] = lambda: None
        self._send_s = send_s

    async def receive(self) -> str:
        await asyncio.sleep(60.0)
        raise CallEnded("the carrier left")

    async def send(self, message: str) -> None:
        await asyncio.sleep(self._send_s)
        self.sent.append(json.loads(message)["event"])
        self.on_sent()

    async def close(self, code: int, reason: str) -> None:
        raise AssertionError("nobody hangs up")


def line_to(socket: SlowSocket) -> Line:
    return Line(socket, Telnyx(), FramePacer(PCMU))


def utterance(count: int) -> Utterance:
    parameters = {"format": "mulaw", "sample_rate": 8000}
    return cast(Utterance, ScriptedUtterance(words(count), parameters))


def test_a_clear_overtakes_the_frames_that_are_about_to_be_sent() -> None:
    async def live() -> list[str]:
        socket = SlowSocket(0.001)
        line = line_to(socket)
        socket.on_sent = lambda: line.clear() if socket.sent[2:] == ["media"] else None
        running = asyncio.create_task(line.run())
        track = await line.speak(utterance(2), lambda _: None)
        assert track.cleared
        await asyncio.sleep(1.0)
        running.cancel()
        await asyncio.wait([running])
        return socket.sent

    assert clock.run(live()) == ["media", "mark", "media", "clear"]


def test_a_carrier_that_reads_nothing_is_given_up() -> None:
    async def live() -> float:
        line = line_to(SlowSocket(1000.0))
        running = asyncio.create_task(line.run())
        with pytest.raises(CallEnded):
            await line.speak(utterance(2), lambda _: None)
        await running
        assert line.ended
        return asyncio.get_running_loop().time()

    assert clock.run(live()) == pytest.approx(5.0, abs=0.1)


def test_garbage_during_a_call_is_counted_and_not_heard() -> None:
    counted: list[int] = []

    async def agent(call: Call) -> None:
        attach(call)
        await call.say(words(10))
        counted.append(call.stats.bad_messages)

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.heard(10)
        for message in ("nonsense", "[]", '{"event": "media", "media": {"payload": "?"}}', "{}"):
            await carrier.send(message)
        await carrier.start()  # twice
        await carrier.tell(event="mark", mark={"name": "1.99999.end"})
        await carrier.hung_up.wait()

    carrier = in_a_call(agent, caller)
    assert counted == [5]
    assert carrier.ear.sound == b"".join(bytes([n]) * 1600 for n in range(1, 11))
    assert carrier.ear.gaps == 0


def test_a_carrier_that_forgets_marks_does_not_stop_the_conversation() -> None:
    async def agent(call: Call) -> None:
        attach(call)
        assert (await call.say(words(3))).complete
        assert call.stats.unanswered_marks > 0

    async def caller(carrier: EmulatedCarrier) -> None:
        carrier.answers_marks = False
        await carrier.hung_up.wait()

    assert in_a_call(agent, caller).close_code == 1000


def refused_with(*messages: str, kind: Kind = "telnyx", options: Options | None = None) -> int:
    """The close code for a carrier that begins like this; no agent ever sees the call."""

    async def agent(_: Call) -> None:
        raise AssertionError("this is no call")

    async def live() -> int:
        bridge = Bridge(agent, options=options or Options())
        async with calling_in_memory(bridge, kind) as carrier:
            for message in messages:
                await carrier.send(message)
            await carrier.hung_up.wait()
        assert carrier.close_code is not None
        return carrier.close_code

    return clock.run(live())


def test_a_wrong_codec_is_refused_and_the_log_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    start = (
        '{"event": "start", "stream_id": "s", "start": {"call_control_id": "c", "media_format":'
        ' {"encoding": "G722", "sample_rate": 8000, "channels": 1}}}'
    )
    with caplog.at_level(logging.WARNING, "duplex_tts.telephony"):
        assert refused_with(start) == 1008
    assert "G722" in caplog.text
    assert "set up the stream with PCMU" in caplog.text


def test_garbage_instead_of_a_start_is_refused() -> None:
    assert refused_with("nonsense") == 1008
    assert refused_with('{"event": "start"}') == 1008


def test_a_carrier_that_says_nothing_is_not_waited_for_long() -> None:
    assert refused_with(options=Options(start_timeout_s=2.0)) == 1008


def test_two_calls_at_once_do_not_mix() -> None:
    async def agent(call: Call) -> None:
        attach(call)
        await call.say(words(10) if call.id == "a" else words(4))

    async def live() -> tuple[EmulatedCarrier, EmulatedCarrier]:
        bridge = Bridge(agent)
        async with (
            calling_in_memory(bridge, "twilio", call_id="a") as first,
            calling_in_memory(bridge, "telnyx", call_id="b") as second,
        ):
            await first.start()
            await second.start()
            await first.hung_up.wait()
            await second.hung_up.wait()
        return first, second

    first, second = clock.run(live())
    assert first.ear.sound == b"".join(bytes([n]) * 1600 for n in range(1, 11))
    assert second.ear.sound == b"".join(bytes([n]) * 1600 for n in range(1, 5))
    assert first.ear.gaps == second.ear.gaps == 0
