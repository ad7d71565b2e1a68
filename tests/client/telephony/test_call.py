"""Calls on a virtual clock: an emulated carrier, the bridge, and a scripted session."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, cast

import pytest

from duplex_tts import Audio, ClientError, ConnectionLost, Session, Word
from duplex_tts.telephony import Bridge, Call, CallEnded, Heard, Options, TelephonyError
from duplex_tts.telephony.codecs import find_codec
from duplex_tts.telephony.frame_pacer import FramePacer
from duplex_tts.telephony.media_stream import MediaStream
from duplex_tts.telephony.telnyx import Telnyx
from duplex_tts.utterance import Utterance
from tests.client.telephony.test_carriers import TWILIO_START
from tests.support import clock
from tests.support.emulated_carrier import FRAME_S, EmulatedCarrier, Kind, open_call_in_memory

PCMU = find_codec("PCMU", 8000)
WORD_MS = 200.0
Scenario = Callable[[Call], Awaitable[None]]


class ScriptedUtterance:
    """Each word lasts 200 ms and arrives 20 ms after the last; its bytes are its number."""

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
    """A session without a server."""

    def __init__(self) -> None:
        self.utterances: list[ScriptedUtterance] = []
        self.failure: ClientError | None = None
        self.pauses_s: dict[int, float] = {}

    def speak(self, text: str, **parameters: Any) -> ScriptedUtterance:
        utterance = ScriptedUtterance(text, parameters)
        utterance.failure, utterance.pauses_s = self.failure, self.pauses_s
        self.utterances.append(utterance)
        return utterance


def attach_session(call: Call, session: ScriptedSession | None = None) -> ScriptedSession:
    session = session or ScriptedSession()
    call.attach(cast(Session, session))
    return session


def run_call(
    agent: Scenario,
    caller: Callable[[EmulatedCarrier], Coroutine[Any, Any, None]] | None = None,
    kind: Kind = "twilio",
    codec: str = "PCMU",
    options: Options = Options(),  # noqa: B008
) -> EmulatedCarrier:
    """Run a call until the agent or the caller ends it. Raises the agent's failure."""
    failures: list[Exception] = []

    async def record_failure(call: Call) -> None:
        try:
            await agent(call)
        except CallEnded:
            raise
        except Exception as error:
            failures.append(error)
            raise

    async def scenario() -> EmulatedCarrier:
        rate = 16000 if codec == "L16" else 8000
        bridge = Bridge(record_failure, options=options)
        async with open_call_in_memory(bridge, kind, find_codec(codec, rate)) as carrier:
            await carrier.start_stream()
            if caller is None:
                await carrier.hung_up.wait()
            else:
                await caller(carrier)
        return carrier

    carrier = clock.run(scenario())
    if failures:
        raise failures[0]
    return carrier


def make_words(count: int) -> str:
    return " ".join(f"word{number}" for number in range(1, count + 1))


def test_say_returns_when_the_caller_has_heard_everything() -> None:
    heard: list[Heard] = []
    times_s: list[float] = []

    async def agent(call: Call) -> None:
        attach_session(call)
        heard.append(await call.say(make_words(10)))
        times_s.append(asyncio.get_running_loop().time())

    carrier = run_call(agent)
    assert heard == [Heard(make_words(10), 2000.0, complete=True)]
    assert carrier.playback.audio == b"".join(bytes([n]) * 1600 for n in range(1, 11))
    assert carrier.playback.gaps == 0
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
def test_the_server_renders_in_the_calls_codec(
    kind: Kind, codec: str, format_: str, rate: int, frame: int
) -> None:
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        sessions.append(attach_session(call))
        await call.say(make_words(3))

    carrier = run_call(agent, kind=kind, codec=codec)
    (utterance,) = sessions[0].utterances
    assert (utterance.parameters["format"], utterance.parameters["sample_rate"]) == (format_, rate)
    assert carrier.frame_sizes == {frame}
    assert carrier.playback.gaps == 0


def test_telnyx_may_accept_another_codec_than_it_sends() -> None:
    async def agent(call: Call) -> None:
        session = attach_session(call)
        await call.say("hello")
        assert session.utterances[0].parameters["format"] == "mulaw"
        async for pcm in call.audio():
            assert pcm == b"\x08\x00" * 160  # A-law's smallest step
            return

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.send_caller_audio(b"\xd5" * 160)
        await carrier.hung_up.wait()

    carrier = run_call(agent, caller, "telnyx", "PCMA", Options(telnyx_codec="PCMU"))
    assert carrier.close_code == 1000


def test_parameters_of_say_override_those_of_attach() -> None:
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        session = ScriptedSession()
        sessions.append(session)
        call.attach(cast(Session, session), voice="heart", speed=1.1)
        await call.say("one")
        await call.say("two", speed=1.5)

    run_call(agent)
    said = [(u.parameters["voice"], u.parameters["speed"]) for u in sessions[0].utterances]
    assert said == [("heart", 1.1), ("heart", 1.5)]


def test_concurrent_says_play_in_order_without_a_pause() -> None:
    async def agent(call: Call) -> None:
        attach_session(call)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.say(make_words(3)))
            tasks.create_task(call.say(make_words(2)))

    carrier = run_call(agent)
    expected = [1, 2, 3, 1, 2]
    assert carrier.playback.audio == b"".join(bytes([n]) * 1600 for n in expected)
    assert carrier.playback.gaps == 0


def test_barge_in_stops_playback_within_a_frame() -> None:
    heard: list[Heard] = []
    cleared: list[float] = []
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        sessions.append(attach_session(call))

        async def listen() -> None:
            async for _ in call.audio():
                cleared.append(asyncio.get_running_loop().time())
                call.clear()
                return

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            heard.append(await call.say(make_words(10)))
            heard.append(await call.say("and now"))

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.wait_until_heard(41)
        await carrier.send_caller_audio(b"\x00" * 160)
        await carrier.hung_up.wait()

    carrier = run_call(agent, caller)
    when = next(time_s for time_s, event in carrier.events if event == "clear")
    assert when - cleared[0] <= FRAME_S
    after = [event for time_s, event in carrier.events if cleared[0] <= time_s <= when]
    assert after == ["clear"]
    assert not heard[0].complete
    assert heard[0].text == "word1 word2 word3 word4"
    assert abs(heard[0].ms - 820) <= 40
    assert heard[1] == Heard("and now", 400.0, complete=True)
    assert sessions[0].utterances[0].cancelled
    assert sum(frame is not None and frame[0] > 4 for frame in carrier.playback.heard) <= 2


def test_clear_does_not_wait_for_the_server() -> None:
    async def agent(call: Call) -> None:
        session = attach_session(call)
        session.pauses_s = {4: 100.0}
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, call.clear)
        heard = await call.say(make_words(10))
        assert heard.text == make_words(3)
        assert loop.time() == pytest.approx(1.0, abs=0.01)
        assert session.utterances[0].cancelled

    assert run_call(agent).close_code == 1000


def test_cancelling_say_stops_playback() -> None:
    async def agent(call: Call) -> None:
        session = attach_session(call)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await call.say(make_words(10))
        assert session.utterances[0].cancelled
        await asyncio.sleep(1.0)

    carrier = run_call(agent)
    assert [event for _, event in carrier.events][-1] == "clear"
    assert len(carrier.playback.audio) <= 160 * 51


def test_marks_are_reported_to_the_server_as_played() -> None:
    sessions: list[ScriptedSession] = []

    async def agent(call: Call) -> None:
        sessions.append(attach_session(call))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(call.say(make_words(10)))
            tasks.create_task(call.say(make_words(3)))

    run_call(agent)
    first, second = sessions[0].utterances
    assert first.reports_ms == [20.0, 520.0, 1020.0, 1520.0]
    assert second.reports_ms[:4] == [0.0, 0.0, 0.0, 0.0]  # waiting, but reported


def test_marks_call_on_heard_with_the_progress() -> None:
    progress: list[Heard] = []

    async def agent(call: Call) -> None:
        attach_session(call)
        await call.say(make_words(6), progress.append)

    run_call(agent)
    assert progress == [
        Heard("", 20.0, complete=False),
        Heard("word1 word2 word3", 520.0, complete=False),
        Heard("word1 word2 word3 word4 word5", 1020.0, complete=False),
        Heard(make_words(6), 1200.0, complete=True),
    ]


def test_late_audio_is_counted_as_a_gap() -> None:
    async def agent(call: Call) -> None:
        session = attach_session(call)
        session.pauses_s = {5: 1.5}
        await call.say(make_words(8))
        assert call.stats.gaps == 1

    carrier = run_call(agent)
    assert carrier.playback.audio == b"".join(bytes([n]) * 1600 for n in range(1, 9))
    assert carrier.playback.gaps > 0
    assert carrier.close_code == 1000


def test_a_failure_is_raised_after_earlier_audio_was_heard() -> None:
    async def agent(call: Call) -> None:
        session = attach_session(call)
        session.failure = ConnectionLost("gone")
        with pytest.raises(ConnectionLost):
            await call.say(make_words(3))
        session.failure = None
        await call.say(make_words(1))

    carrier = run_call(agent)
    assert carrier.playback.audio == b"".join(bytes([n]) * 1600 for n in [1, 2, 3, 1])
    assert carrier.close_code == 1000


def test_say_without_a_session_raises() -> None:
    async def agent(call: Call) -> None:
        with pytest.raises(TelephonyError, match="attach"):
            await call.say("hello")

    assert run_call(agent).close_code == 1000


def test_a_call_has_its_numbers_and_parameters() -> None:
    seen: list[tuple[Any, ...]] = []

    async def agent(call: Call) -> None:
        seen.append((call.carrier, call.id, call.caller, call.called, dict(call.parameters)))

    run_call(agent, kind="twilio")
    run_call(agent, kind="telnyx")
    assert seen == [
        ("twilio", "call-1", None, None, {"customer": "Ada"}),
        ("telnyx", "call-1", "+13122010094", "+13122123456", {}),
    ]


def test_the_agent_receives_audio_and_digits() -> None:
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
            await carrier.send_caller_audio(bytes([code]) * 160)
        for digit in "17#":
            await carrier.press_digit(digit)
        await carrier.hang_up()
        await carrier.hung_up.wait()

    run_call(agent, caller)
    levels = [int.from_bytes(pcm[:2], "little", signed=True) for pcm in sounds]
    assert levels == [0, 32124, -32124]
    assert [len(pcm) for pcm in sounds] == [320] * 3
    assert digits == ["1", "7", "#"]


def test_caller_audio_is_reordered() -> None:
    said: list[bytes] = []

    async def agent(call: Call) -> None:
        async for pcm in call.audio():
            said.append(pcm[:2])

    async def caller(carrier: EmulatedCarrier) -> None:
        for chunk in (1, 3, 2, 4):
            payload = base64.b64encode(bytes([0x80 + chunk]) * 160).decode()
            media = {"track": "inbound", "chunk": str(chunk), "payload": payload}
            await carrier.send_event(event="media", media=media)
        await carrier.hang_up()
        await carrier.hung_up.wait()

    run_call(agent, caller, "telnyx")
    assert said == [PCMU.decode(bytes([0x80 + chunk])) for chunk in (1, 2, 3, 4)]


def test_unread_caller_audio_is_kept_for_30_seconds() -> None:
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
            await carrier.send_caller_audio(b"\xff" * 160)
        await carrier.hung_up.wait()

    assert run_call(agent, caller).close_code == 1000


@pytest.mark.parametrize("how", ["stop", "vanish"])
def test_a_caller_leaving_ends_say_and_cancels_utterances(how: str) -> None:
    sessions: list[ScriptedSession] = []
    raised: list[BaseException] = []
    cleaned_up: list[str] = []

    async def agent(call: Call) -> None:
        sessions.append(attach_session(call))
        try:
            await call.say(make_words(20))
        except CallEnded as ended:
            raised.append(ended)
            assert call.ended
            with pytest.raises(CallEnded):
                await call.say("are you there?")
            raise
        finally:
            cleaned_up.append(call.id)

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.wait_until_heard(20)
        if how == "stop":
            await carrier.hang_up()
        else:
            carrier.drop_connection()
        await carrier.hung_up.wait() if how == "stop" else None

    run_call(agent, caller)
    assert len(raised) == 1
    assert cleaned_up == ["call-1"]
    assert all(utterance.cancelled for utterance in sessions[0].utterances)


def test_an_agent_is_cancelled_after_the_grace_period() -> None:
    cancelled_at_s: list[float] = []

    async def agent(_: Call) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled_at_s.append(asyncio.get_running_loop().time())

    async def caller(carrier: EmulatedCarrier) -> None:
        await asyncio.sleep(1.0)
        carrier.drop_connection()

    run_call(agent, caller, options=Options(grace_s=3.0))
    assert cancelled_at_s == [pytest.approx(4.0, abs=0.1)]


def test_a_failing_agent_is_logged_and_its_call_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def agent(_: Call) -> None:
        raise RuntimeError("my mistake")

    async def scenario() -> EmulatedCarrier:
        async with open_call_in_memory(Bridge(agent)) as carrier:
            await carrier.start_stream()
            await carrier.hung_up.wait()
        return carrier

    with caplog.at_level(logging.ERROR, "duplex_tts.telephony"):
        carrier = clock.run(scenario())
    assert carrier.close_code == 1011
    assert "my mistake" in caplog.text


def test_hangup_ends_the_call_at_once() -> None:
    async def agent(call: Call) -> None:
        attach_session(call)
        say_task = asyncio.create_task(call.say(make_words(50)))
        await asyncio.sleep(1.0)
        await call.hangup()
        with pytest.raises(CallEnded):
            await say_task

    carrier = run_call(agent)
    assert carrier.close_code == 1000
    assert 48 <= len(carrier.playback.audio) / 160 <= 57


def test_hangup_twice_is_safe() -> None:
    async def agent(call: Call) -> None:
        await call.hangup()
        await call.hangup()

    assert run_call(agent).close_code == 1000


def test_shutdown_closes_with_going_away() -> None:
    agent_started = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def agent(_: Call) -> None:
        agent_started.set()
        await asyncio.sleep(1000)

    async def scenario() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for text in (None, json.dumps(TWILIO_START)):
            kind = "websocket.connect" if text is None else "websocket.receive"
            messages.put_nowait({"type": kind, "text": text})

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/twilio", "headers": []}
        serving = asyncio.ensure_future(Bridge(agent)(scope, messages.get, send))
        await agent_started.wait()
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()

    clock.run(scenario())
    assert sent[-1]["code"] == 1001


class SlowSocket:
    """The socket of a slow carrier: each message takes `send_s`."""

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
        raise AssertionError("unexpected close")


def stream_to(socket: SlowSocket) -> MediaStream:
    return MediaStream(socket, Telnyx(), FramePacer(PCMU))


def make_utterance(count: int) -> Utterance:
    parameters = {"format": "mulaw", "sample_rate": 8000}
    return cast(Utterance, ScriptedUtterance(make_words(count), parameters))


def test_clear_is_sent_before_frames_already_due() -> None:
    async def scenario() -> list[str]:
        socket = SlowSocket(0.001)
        stream = stream_to(socket)
        socket.on_sent = lambda: stream.stop_playback() if socket.sent[2:] == ["media"] else None
        running = asyncio.create_task(stream.run())
        track = await stream.play(make_utterance(2), lambda _: None)
        assert track.cleared
        await asyncio.sleep(1.0)
        running.cancel()
        await asyncio.wait([running])
        return socket.sent

    assert clock.run(scenario()) == ["media", "mark", "media", "clear"]


def test_a_carrier_that_stops_reading_ends_the_call() -> None:
    async def scenario() -> float:
        stream = stream_to(SlowSocket(1000.0))
        running = asyncio.create_task(stream.run())
        with pytest.raises(CallEnded):
            await stream.play(make_utterance(2), lambda _: None)
        await running
        assert stream.ended
        return asyncio.get_running_loop().time()

    assert clock.run(scenario()) == pytest.approx(5.0, abs=0.1)


def test_invalid_messages_are_counted_and_ignored() -> None:
    counted: list[int] = []

    async def agent(call: Call) -> None:
        attach_session(call)
        await call.say(make_words(10))
        counted.append(call.stats.bad_messages)

    async def caller(carrier: EmulatedCarrier) -> None:
        await carrier.wait_until_heard(10)
        for message in ("nonsense", "[]", '{"event": "media", "media": {"payload": "?"}}', "{}"):
            await carrier.send(message)
        await carrier.start_stream()  # twice
        await carrier.send_event(event="mark", mark={"name": "1.99999.end"})
        await carrier.hung_up.wait()

    carrier = run_call(agent, caller)
    assert counted == [5]
    assert carrier.playback.audio == b"".join(bytes([n]) * 1600 for n in range(1, 11))
    assert carrier.playback.gaps == 0


def test_say_returns_without_answered_marks() -> None:
    async def agent(call: Call) -> None:
        attach_session(call)
        assert (await call.say(make_words(3))).complete
        assert call.stats.unanswered_marks > 0

    async def caller(carrier: EmulatedCarrier) -> None:
        carrier.answers_marks = False
        await carrier.hung_up.wait()

    assert run_call(agent, caller).close_code == 1000


def close_code_after(*messages: str, kind: Kind = "telnyx", options: Options | None = None) -> int:
    """The close code after these first messages, without a call for the agent."""

    async def agent(_: Call) -> None:
        raise AssertionError("unexpected call")

    async def scenario() -> int:
        bridge = Bridge(agent, options=options or Options())
        async with open_call_in_memory(bridge, kind) as carrier:
            for message in messages:
                await carrier.send(message)
            await carrier.hung_up.wait()
        assert carrier.close_code is not None
        return carrier.close_code

    return clock.run(scenario())


def test_an_unsupported_codec_is_refused_with_the_remedy_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    start = (
        '{"event": "start", "stream_id": "s", "start": {"call_control_id": "c", "media_format":'
        ' {"encoding": "G722", "sample_rate": 8000, "channels": 1}}}'
    )
    with caplog.at_level(logging.WARNING, "duplex_tts.telephony"):
        assert close_code_after(start) == 1008
    assert "G722" in caplog.text
    assert "set up the stream with PCMU" in caplog.text


def test_an_invalid_start_is_refused() -> None:
    assert close_code_after("nonsense") == 1008
    assert close_code_after('{"event": "start"}') == 1008


def test_a_missing_start_times_out() -> None:
    assert close_code_after(options=Options(start_timeout_s=2.0)) == 1008


def test_concurrent_calls_do_not_mix() -> None:
    async def agent(call: Call) -> None:
        attach_session(call)
        await call.say(make_words(10) if call.id == "a" else make_words(4))

    async def scenario() -> tuple[EmulatedCarrier, EmulatedCarrier]:
        bridge = Bridge(agent)
        async with (
            open_call_in_memory(bridge, "twilio", call_id="a") as first,
            open_call_in_memory(bridge, "telnyx", call_id="b") as second,
        ):
            await first.start_stream()
            await second.start_stream()
            await first.hung_up.wait()
            await second.hung_up.wait()
        return first, second

    first, second = clock.run(scenario())
    assert first.playback.audio == b"".join(bytes([n]) * 1600 for n in range(1, 11))
    assert second.playback.audio == b"".join(bytes([n]) * 1600 for n in range(1, 5))
    assert first.playback.gaps == second.playback.gaps == 0
