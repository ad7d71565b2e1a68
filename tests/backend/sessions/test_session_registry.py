"""`SessionRegistry` in scripted time: resuming, expiry, and that every word is spoken exactly once
over any breaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.config import Settings
from backend.errors import ResumeFailed, SessionEnded, TakenOver
from backend.events import (
    Cancel,
    Cancelled,
    Done,
    End,
    Failed,
    Flush,
    Pong,
    Ready,
    Resume,
    Retract,
    Retracted,
    Start,
    Text,
)
from backend.sessions.session_registry import SessionRegistry
from backend.tts_manager import VoiceParams
from tests.support import clock
from tests.support.caller import Caller, open_registry
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import make_settings

TEXT = "One two three. Four five six. "


def start(context: str = "a", **fields: object) -> Start:
    return Start(context, format="pcm_f32le", **fields)  # type: ignore[arg-type]


def play(
    script: Callable[[SessionRegistry], Awaitable[None]],
    config: Settings | None = None,
    tts: InlineTTS | None = None,
) -> None:
    async def run() -> None:
        async with open_registry(config, tts) as opened:
            await script(opened)

    clock.run(run())


async def connected(sessions: SessionRegistry, owner: str = "me") -> Caller:
    caller = Caller(sessions, owner)
    await caller.connect()
    await asyncio.sleep(0.001)
    return caller


# --- resuming -------------------------------------------------------------------------------------


def test_a_detached_session_goes_on_speaking() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start(mode="batch"), Text("a", TEXT))
        await asyncio.sleep(0.001)
        caller.cut()
        await asyncio.sleep(20)
        await caller.connect()
        caller.send(End("a"))
        await asyncio.sleep(1)
        assert caller.heard_text() == "".join(TEXT.split())
        caller.assert_sums()
        assert caller.session.status().detached_s is None

    play(script)


def test_ready_counts_handled_messages_on_resume() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start(), Text("a", TEXT))
        await asyncio.sleep(0.001)
        caller.cut()
        caller.send(Text("a", "Seven."), End("a"))
        await caller.connect()
        await asyncio.sleep(10)
        readies = [event for event in caller.events if isinstance(event, Ready)]
        assert [ready.received for ready in readies] == [0, 2]
        assert readies[1] == replace(readies[0], received=2)
        assert caller.heard_text() == "".join(TEXT.split()) + "Seven."

    play(script)


def test_received_counts_refused_messages_but_not_pings() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(Cancel("never"), start(voice="unknown"))
        caller.acknowledge()
        await asyncio.sleep(0.001)
        assert [event for event in caller.events if isinstance(event, Pong)] == [Pong(None, 2)]
        caller.cut()
        await caller.connect()
        await asyncio.sleep(0.001)
        assert caller.ready is not None
        assert caller.ready.received == 2
        assert caller.codes("never") == ["unknown_context"], "answered once"

    play(script)


def test_a_session_can_be_resumed_repeatedly() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start(mode="batch"))
        for _ in range(50):
            caller.send(Text("a", TEXT))
            caller.cut()
            await caller.connect()
            await asyncio.sleep(0)
        caller.send(End("a"))
        await asyncio.sleep(1)
        assert caller.heard_text() == "".join(TEXT.split()) * 50

    play(script)


def test_a_lost_cancel_is_sent_again() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.delay_s = 0.1
        await reconnected(caller)
        caller.send(start(), Text("a", TEXT * 20), End("a"))
        await asyncio.sleep(0.25)
        caller.send(Cancel("a"))
        await asyncio.sleep(0.05)
        caller.cut()
        await caller.connect()
        await asyncio.sleep(10)
        caller.assert_sums()
        assert caller.single_event(Cancelled)

    play(script, tts=InlineTTS(delay_s=0.05))


async def reconnected(caller: Caller) -> None:
    caller.cut()
    await caller.connect()
    await asyncio.sleep(2 * caller.delay_s + 0.001)


def test_a_lost_answer_to_cancel_is_replayed_once() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start(), Text("a", TEXT * 20), End("a"))
        await asyncio.sleep(0.12)
        caller.send(Cancel("a"))
        caller.delay_s = 0.1
        await asyncio.sleep(0)
        caller.cut()
        for _ in range(3):
            await reconnected(caller)
        caller.assert_sums()
        assert caller.single_event(Cancelled)

    play(script, tts=InlineTTS(delay_s=0.05))


def test_a_lost_answer_to_retract_is_replayed_once() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.delay_s = 0.1
        await reconnected(caller)
        caller.send(start(), Text("a", "Hello there my "))
        await asyncio.sleep(0.5)
        caller.send(Retract("a", 0))
        await asyncio.sleep(0.15)  # handled, the answer is in transit
        caller.cut()
        for _ in range(2):
            await reconnected(caller)
        caller.send(Text("a", "you."), End("a"))
        await asyncio.sleep(5)
        caller.assert_sums()
        assert caller.single_event(Retracted).to == 15
        assert caller.heard_text() == "Hellotheremyyou."

    play(script)


# --- authorization --------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong_part", ["session", "token", "owner", "nothing"])
def test_resume_requires_the_token_and_the_key(wrong_part: str) -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.cut()
        request = caller.resume_request()
        wrong = {
            "session": (replace(request, session="x"), "me"),
            "token": (replace(request, token=request.token[:-1] + "é"), "me"),
            "owner": (request, "somebody else"),
            "nothing": (Resume("", "", {}), "me"),
        }
        with pytest.raises(ResumeFailed):
            await sessions.resume_session(*wrong[wrong_part])
        await caller.connect()

    tts = InlineTTS()
    play(script, tts=tts)
    assert b'duplex_tts_resumes_total{outcome="failed"} 1.0' in tts.metrics.render()
    assert b'duplex_tts_resumes_total{outcome="ok"} 1.0' in tts.metrics.render()


def test_resuming_a_non_resumable_session_is_refused() -> None:
    async def script(sessions: SessionRegistry) -> None:
        attachment = await sessions.open_session("me", resumable=False)
        session = attachment.session
        with pytest.raises(ResumeFailed):
            await sessions.resume_session(Resume(session.id, session.token, {}), "me")
        sessions.detach(attachment, keep=True)
        assert list(sessions) == []

    play(script)


def test_resume_revokes_the_old_attachment() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start(mode="batch"), Text("a", TEXT))
        await asyncio.sleep(0.001)
        caller.vanish()
        await caller.connect()
        caller.send(End("a"))
        await asyncio.sleep(1)
        assert [type(error) for error in caller.detach_errors] == [TakenOver]
        assert caller.heard_text() == "".join(TEXT.split())
        assert len(sessions.attached) == 1
        assert sessions.detached == []

    play(script)


def test_concurrent_resumes_leave_one_attachment() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        twins = [Caller(sessions) for _ in range(5)]
        for twin in twins:
            twin.ready = caller.ready
        async with asyncio.timeout(1):
            await asyncio.gather(*(twin.connect() for twin in twins))
        await asyncio.sleep(0.01)
        assert len(caller.detach_errors) == 1
        assert sorted(len(twin.detach_errors) for twin in twins) == [0, 1, 1, 1, 1]
        assert len(sessions.attached) == 1

    play(script)


def test_a_cancelled_resume_lets_the_session_expire() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        taking = asyncio.create_task(sessions.resume_session(caller.resume_request(), "me"))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.sleep(1)
        assert len(sessions.detached) == 1
        await asyncio.sleep(30)
        assert list(sessions) == []

    play(script)


# --- ending ---------------------------------------------------------------------------------------


def test_a_detached_session_expires_after_resume_ttl() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start(), Text("a", "Hello there "))
        await asyncio.sleep(0.01)
        caller.cut()
        await asyncio.sleep(29.9)
        (status,) = sessions.statuses()
        assert status.detached_s == pytest.approx(29.9)
        assert status.contexts == 1
        await reconnected(caller)
        caller.cut()
        await asyncio.sleep(30.1)
        assert list(sessions) == []
        with pytest.raises(ResumeFailed):
            await caller.connect()

    play(script)


def test_with_resume_ttl_0_a_session_ends_with_its_connection() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.cut()
        assert list(sessions) == []
        with pytest.raises(ResumeFailed):
            await caller.connect()

    play(script, make_settings(server={"resume_ttl": 0}))


def test_a_session_detached_without_keep_ends() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start(), Text("a", "Hello there "))
        await asyncio.sleep(0.01)
        caller.hang_up()
        assert list(sessions) == []
        await asyncio.sleep(0.01)

    play(script)


def test_the_operator_ends_attached_and_detached_sessions() -> None:
    async def script(sessions: SessionRegistry) -> None:
        attached, detached = await connected(sessions), await connected(sessions)
        detached.cut()
        for caller in (attached, detached):
            assert caller.ready is not None
            assert sessions.end_session(caller.ready.session)
            assert not sessions.end_session(caller.ready.session)
            with pytest.raises(ResumeFailed):
                await caller.connect()
        await asyncio.sleep(0.01)
        assert [type(error) for error in attached.detach_errors] == [SessionEnded]
        assert list(sessions) == []

    play(script)


def test_the_longest_detached_session_is_evicted_first() -> None:
    async def script(sessions: SessionRegistry) -> None:
        callers = [await connected(sessions) for _ in range(5)]
        for caller in callers[:4]:
            caller.cut()
            await asyncio.sleep(1)
        sessions.evict_detached()
        assert len(list(sessions)) == 3
        for caller in callers[2:4]:
            await caller.connect()
        for caller in callers[:2]:
            with pytest.raises(ResumeFailed):
                await caller.connect()

    play(script, make_settings(server={"max_connections": 3}))


def test_attached_sessions_are_not_evicted() -> None:
    async def script(sessions: SessionRegistry) -> None:
        callers = [await connected(sessions) for _ in range(5)]
        sessions.evict_detached()
        assert len(sessions.attached) == len(callers)

    play(script, make_settings(server={"max_connections": 1}))


@pytest.mark.parametrize("detached", [False, True])
def test_a_bug_in_a_session_ends_only_that_session(detached: bool) -> None:
    class BrokenTTS(InlineTTS):
        def open_utterance(self, params: VoiceParams, *more: Any) -> Any:
            if params.seed == 13:
                raise ZeroDivisionError("a bug")
            return super().open_utterance(params, *more)

    async def script(sessions: SessionRegistry) -> None:
        broken, fine = await connected(sessions), await connected(sessions)
        broken.send(start(seed=13))
        await asyncio.sleep(0.01)
        session = broken.session
        if detached:
            broken.cut()
        session.handle_or_refuse(Text("a", "Hello there "))
        await asyncio.sleep(1)
        fine.send(start(), Text("a", TEXT), End("a"))
        await asyncio.sleep(10)
        fine.assert_sums()
        assert list(sessions) == [fine.session]
        if not detached:
            (error,) = broken.detach_errors
            assert isinstance(error, ExceptionGroup), "the connection raises it"

    play(script, tts=BrokenTTS())


def test_all_sessions_end_with_the_registry() -> None:
    async def script(sessions: SessionRegistry) -> None:
        for cut in (False, True):
            caller = await connected(sessions)
            caller.send(start(), Text("a", "Hello there my friend, "))
            await asyncio.sleep(0.01)
            if cut:
                caller.cut()

    play(script)  # asserts that nothing is left


# --- losses ---------------------------------------------------------------------------------------


async def unreachable(sessions: SessionRegistry) -> Caller:
    """A client that receives nothing more, on a connection not yet closed."""
    caller = await connected(sessions)
    caller.delay_s = 1e9
    caller.cut()
    await caller.connect()
    caller.delay_s = 0
    return caller


def test_a_context_with_lost_audio_ends_with_resume_gap() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await unreachable(sessions)
        caller.session.handle_or_refuse(start("a"))
        caller.session.handle_or_refuse(Text("a", "Hello there "))
        await asyncio.sleep(35)  # the audio was sent, but not received
        caller.session.handle_or_refuse(start("b"))
        caller.session.handle_or_refuse(Text("b", "Hello you. "))
        await asyncio.sleep(5)
        caller.vanish()
        await caller.connect()
        caller.sent_commands = [start("a"), start("b"), Text("a", "my"), End("a"), End("b")]
        await asyncio.sleep(10)
        assert caller.codes("a") == ["resume_gap"]
        assert caller.heard_text("b") == "Helloyou."
        caller.assert_sums("b")

    tts = InlineTTS()
    play(script, tts=tts)
    assert b'duplex_tts_resumes_total{outcome="gap"} 1.0' in tts.metrics.render()


@pytest.mark.parametrize("counted", [True, False])
def test_a_lost_done_is_reported_as_resume_gap(counted: bool) -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start("a"), Text("a", "Hello. "))
        await asyncio.sleep(1)
        caller.delay_s = 1e9
        caller.cut()
        await caller.connect()
        caller.session.handle_or_refuse(End("a"))
        await asyncio.sleep(60)
        caller.vanish()
        request = replace(caller.resume_request(), answers=0 if counted else None)
        assert request.after == {"a": 0}, "all audio was received"
        attachment = await sessions.resume_session(request, "me")
        events = [await attachment.session.send_queue.get() for _ in range(2)]
        assert [type(event) for event in events] == [Ready, Failed]
        assert isinstance(events[1], Failed)
        assert (events[1].context, events[1].code) == ("a", "resume_gap")

    play(script)


def test_a_client_that_acknowledges_loses_nothing() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.send(start("a", mode="batch"))
        await asyncio.sleep(0.001)
        caller.after = {"a": -1}
        caller.acknowledge()
        await asyncio.sleep(0.001)
        caller.delay_s = 1e9
        caller.cut()
        await caller.connect()
        caller.delay_s = 0
        long = "One two three. " * 200
        caller.session.handle_or_refuse(Text("a", long))
        caller.session.handle_or_refuse(End("a"))
        await asyncio.sleep(300)
        assert 1000 < caller.session.status().characters_waiting < len(long) - 100
        caller.vanish()
        await caller.connect()
        caller.sent_commands = [start("a"), Text("a", long), End("a")]
        while not caller.events_of(Done):
            await asyncio.sleep(0.1)
            caller.acknowledge()
        assert caller.heard_text() == "".join(long.split())

    play(script, make_settings(server={"resume_bytes": 1 << 18}))


def test_too_many_names_in_after_end_only_that_session() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        names = [f"c{number}" for number in range(2000)]
        for name in names:
            caller.send(Start(name, voice="unknown"))
            await asyncio.sleep(0)
        caller.cut()
        request = replace(caller.resume_request(), after=dict.fromkeys(names, -1), answers=None)
        with pytest.raises(ResumeFailed):
            await sessions.resume_session(request, "me")
        assert list(sessions) == []

    play(script)


# --- random breaks --------------------------------------------------------------------------------

PIECES = ["Hello ", "there. ", "you", " and me. ", "Well, ", "1 ", "2 ", "\n", "Yes. No. "]
actions = st.one_of(
    st.tuples(st.just("text"), st.sampled_from("ab"), st.sampled_from(PIECES)),
    st.tuples(st.sampled_from(["flush", "retract"]), st.sampled_from("ab"), st.integers(0, 9)),
    st.tuples(st.just("cancel"), st.just("b"), st.just(0)),
    st.tuples(st.sampled_from(["cut", "vanish", "acknowledge"]), st.just(""), st.just(0)),
)
pauses_s = st.sampled_from([0.0, 0.0, 0.01, 0.05, 0.15, 1.0, 20.0])


async def play_story(
    sessions: SessionRegistry, story: list[tuple[tuple[str, str, object], float]], delay_s: float
) -> tuple[Caller, dict[str, list[object]]]:
    """Play the story; returns what was sent to each context."""
    caller = Caller(sessions, delay_s=delay_s)
    await caller.connect()
    sent: dict[str, list[object]] = {"a": [], "b": []}
    caller.send(start("a"), start("b", mode="batch"))
    cancelled = False
    for (action, context, argument), pause_s in story:
        if context == "b" and cancelled:
            continue
        match action, argument:
            case "text", str():
                caller.send(Text(context, argument))
                sent[context].append(argument)
            case "flush", _:
                caller.send(Flush(context))
            case "retract", int():
                length = sum(len(piece) for piece in sent[context] if isinstance(piece, str))
                caller.send(Retract(context, max(0, length - argument)))
                sent[context].append(max(0, length - argument))
            case "cancel", _:
                caller.send(Cancel("b"))
                cancelled = True
            case "acknowledge", _:
                caller.acknowledge()
            case _:
                getattr(caller, action)()
        await asyncio.sleep(pause_s)
        if caller.connection is None:
            await caller.connect()
    caller.send(End("a"), *([] if cancelled else [End("b")]))
    await asyncio.sleep(60)
    return caller, sent


def final_text(sent: list[object], answers: list[Retracted]) -> str:
    """The context's text by the client's account, after all answered retractions."""
    text, retractions = "", iter(answers)
    for item in sent:
        if isinstance(item, str):
            text += item
        else:
            text = text[: next(retractions).to]
    assert not list(retractions), "answered twice"
    return text


@pytest.mark.slow
@given(
    st.lists(st.tuples(actions, pauses_s), max_size=25),
    st.sampled_from([0.0, 0.02, 0.2]),
    st.sampled_from([0.0, 0.02, 0.3]),
)
@hypothesis_settings(max_examples=200)
def test_over_any_breaks_every_character_is_spoken_once(
    story: list[tuple[tuple[str, str, object], float]], delay_s: float, engine_delay_s: float
) -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller, sent = await play_story(sessions, story, delay_s)
        for context in "ab":
            assert caller.codes(context) == []
            caller.assert_sums(context)
            text = final_text(sent[context], caller.events_of(Retracted, context))
            if caller.events_of(Done, context):
                assert caller.heard_text(context) == "".join(text.split())
            else:
                assert "".join(text.split()).startswith(caller.heard_text(context))
                assert caller.single_event(Cancelled, context)

    play(script, tts=InlineTTS(delay_s=engine_delay_s))
