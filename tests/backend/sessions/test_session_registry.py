"""Sessions that outlive their connections, in scripted time: who gets them back, for how long, and
that every word is heard exactly once whatever breaks.
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
from tests.support.caller import Caller, registry
from tests.support.engines.inline_tts import InlineTTS
from tests.support.scripted_session import settings

TEXT = "One two three. Four five six. "


def start(context: str = "a", **fields: object) -> Start:
    return Start(context, format="pcm_f32le", **fields)  # type: ignore[arg-type]


def play(
    script: Callable[[SessionRegistry], Awaitable[None]],
    config: Settings | None = None,
    tts: InlineTTS | None = None,
) -> None:
    async def run() -> None:
        async with registry(config, tts) as opened:
            await script(opened)

    clock.run(run())


async def connected(sessions: SessionRegistry, owner: str = "me") -> Caller:
    caller = Caller(sessions, owner)
    await caller.connect()
    await asyncio.sleep(0.001)
    return caller


# --- coming back ----------------------------------------------------------------------------------


def test_a_session_speaks_on_while_its_client_is_away() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start(mode="batch"), Text("a", TEXT))
        await asyncio.sleep(0.001)
        caller.cut()
        await asyncio.sleep(20)
        await caller.connect()
        caller.say(End("a"))
        await asyncio.sleep(1)
        assert caller.heard() == "".join(TEXT.split())
        caller.assert_sums()
        assert caller.session.status().detached_s is None

    play(script)


def test_the_greeting_says_what_was_handled_and_the_rest_is_said_again() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start(), Text("a", TEXT))
        await asyncio.sleep(0.001)
        caller.cut()
        caller.say(Text("a", "Seven."), End("a"))
        await caller.connect()
        await asyncio.sleep(10)
        readies = [event for event in caller.events if isinstance(event, Ready)]
        assert [ready.received for ready in readies] == [0, 2]
        assert readies[1] == replace(readies[0], received=2)
        assert caller.heard() == "".join(TEXT.split()) + "Seven."

    play(script)


def test_mistakes_count_and_pings_do_not() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(Cancel("never"), start(voice="nobody"))
        caller.acknowledge()
        await asyncio.sleep(0.001)
        assert [event for event in caller.events if isinstance(event, Pong)] == [Pong(None, 2)]
        caller.cut()
        await caller.connect()
        await asyncio.sleep(0.001)
        assert caller.ready is not None
        assert caller.ready.received == 2
        assert caller.codes("never") == ["unknown_context"], "told once"

    play(script)


def test_a_session_may_be_resumed_again_and_again() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start(mode="batch"))
        for _ in range(50):
            caller.say(Text("a", TEXT))
            caller.cut()
            await caller.connect()
            await asyncio.sleep(0)
        caller.say(End("a"))
        await asyncio.sleep(1)
        assert caller.heard() == "".join(TEXT.split()) * 50

    play(script)


def test_a_cancel_that_was_lost_with_the_line_is_said_again() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.delay_s = 0.1
        await reconnected(caller)
        caller.say(start(), Text("a", TEXT * 20), End("a"))
        await asyncio.sleep(0.25)
        caller.say(Cancel("a"))
        await asyncio.sleep(0.05)
        caller.cut()
        await caller.connect()
        await asyncio.sleep(10)
        caller.assert_sums()
        assert caller.one(Cancelled)

    play(script, tts=InlineTTS(delay_s=0.05))


async def reconnected(caller: Caller) -> None:
    caller.cut()
    await caller.connect()
    await asyncio.sleep(2 * caller.delay_s + 0.001)


def test_a_cancel_whose_answer_was_lost_is_answered_again_and_only_once() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start(), Text("a", TEXT * 20), End("a"))
        await asyncio.sleep(0.12)
        caller.say(Cancel("a"))
        caller.delay_s = 0.1
        await asyncio.sleep(0)
        caller.cut()
        for _ in range(3):
            await reconnected(caller)
        caller.assert_sums()
        assert caller.one(Cancelled)

    play(script, tts=InlineTTS(delay_s=0.05))


def test_a_retraction_whose_answer_was_lost_is_answered_once() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.delay_s = 0.1
        await reconnected(caller)
        caller.say(start(), Text("a", "Hello there my "))
        await asyncio.sleep(0.5)
        caller.say(Retract("a", 0))
        await asyncio.sleep(0.15)  # it is handled, and the answer is on its way
        caller.cut()
        for _ in range(2):
            await reconnected(caller)
        caller.say(Text("a", "you."), End("a"))
        await asyncio.sleep(5)
        caller.assert_sums()
        assert caller.one(Retracted).to == 15
        assert caller.heard() == "Hellotheremyyou."

    play(script)


# --- who gets it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["session", "token", "owner", "nothing"])
def test_only_who_has_the_token_and_the_key_gets_the_session(what: str) -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.cut()
        request = caller.request()
        wrong = {
            "session": (replace(request, session="x"), "me"),
            "token": (replace(request, token=request.token[:-1] + "é"), "me"),
            "owner": (request, "somebody else"),
            "nothing": (Resume("", "", {}), "me"),
        }
        with pytest.raises(ResumeFailed):
            await sessions.resume(*wrong[what])
        await caller.connect()

    tts = InlineTTS()
    play(script, tts=tts)
    assert b'duplex_tts_resumes_total{outcome="failed"} 1.0' in tts.metrics.render()
    assert b'duplex_tts_resumes_total{outcome="ok"} 1.0' in tts.metrics.render()


def test_a_session_that_cannot_be_resumed_is_nobodys() -> None:
    async def script(sessions: SessionRegistry) -> None:
        attachment = await sessions.open("me", resumable=False)
        session = attachment.session
        with pytest.raises(ResumeFailed):
            await sessions.resume(Resume(session.id, session.token, {}), "me")
        sessions.let_go(attachment, keep=True)
        assert list(sessions) == []

    play(script)


def test_the_new_connection_takes_the_session_from_the_old() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start(mode="batch"), Text("a", TEXT))
        await asyncio.sleep(0.001)
        caller.vanish()
        await caller.connect()
        caller.say(End("a"))
        await asyncio.sleep(1)
        assert [type(error) for error in caller.dismissed] == [TakenOver]
        assert caller.heard() == "".join(TEXT.split())
        assert len(sessions.attached) == 1
        assert sessions.detached == []

    play(script)


def test_of_many_who_come_at_once_one_has_it_and_none_is_left_waiting() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        twins = [Caller(sessions) for _ in range(5)]
        for twin in twins:
            twin.ready = caller.ready
        async with asyncio.timeout(1):
            await asyncio.gather(*(twin.connect() for twin in twins))
        await asyncio.sleep(0.01)
        assert len(caller.dismissed) == 1
        assert sorted(len(twin.dismissed) for twin in twins) == [0, 1, 1, 1, 1]
        assert len(sessions.attached) == 1

    play(script)


def test_who_gives_up_taking_over_leaves_the_session_to_expire() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        taking = asyncio.create_task(sessions.resume(caller.request(), "me"))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.sleep(1)
        assert len(sessions.detached) == 1
        await asyncio.sleep(30)
        assert list(sessions) == []

    play(script)


# --- how it ends ----------------------------------------------------------------------------------


def test_a_session_is_kept_for_resume_ttl_and_no_longer() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start(), Text("a", "Hello there "))
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


def test_without_a_ttl_a_session_ends_with_its_connection() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.cut()
        assert list(sessions) == []
        with pytest.raises(ResumeFailed):
            await caller.connect()

    play(script, settings(server={"resume_ttl": 0}))


def test_who_hangs_up_is_not_waited_for() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start(), Text("a", "Hello there "))
        await asyncio.sleep(0.01)
        caller.hang_up()
        assert list(sessions) == []
        await asyncio.sleep(0.01)

    play(script)


def test_the_operator_ends_a_session_with_or_without_its_client() -> None:
    async def script(sessions: SessionRegistry) -> None:
        here, away = await connected(sessions), await connected(sessions)
        away.cut()
        for caller in (here, away):
            assert caller.ready is not None
            assert sessions.end(caller.ready.session)
            assert not sessions.end(caller.ready.session)
            with pytest.raises(ResumeFailed):
                await caller.connect()
        await asyncio.sleep(0.01)
        assert [type(error) for error in here.dismissed] == [SessionEnded]
        assert list(sessions) == []

    play(script)


def test_the_longest_absence_makes_room() -> None:
    async def script(sessions: SessionRegistry) -> None:
        callers = [await connected(sessions) for _ in range(5)]
        for caller in callers[:4]:
            caller.cut()
            await asyncio.sleep(1)
        sessions.make_room()
        assert len(list(sessions)) == 3
        for caller in callers[2:4]:
            await caller.connect()
        for caller in callers[:2]:
            with pytest.raises(ResumeFailed):
                await caller.connect()

    play(script, settings(server={"max_connections": 3}))


def test_there_is_always_room_for_those_who_are_connected() -> None:
    async def script(sessions: SessionRegistry) -> None:
        callers = [await connected(sessions) for _ in range(5)]
        sessions.make_room()
        assert len(sessions.attached) == len(callers)

    play(script, settings(server={"max_connections": 1}))


@pytest.mark.parametrize("away", [False, True])
def test_a_bug_in_a_session_ends_it_and_no_other(away: bool) -> None:
    class BrokenTTS(InlineTTS):
        def speak(self, manner: VoiceParams, *more: Any) -> Any:
            if manner.seed == 13:
                raise ZeroDivisionError("a bug")
            return super().speak(manner, *more)

    async def script(sessions: SessionRegistry) -> None:
        broken, fine = await connected(sessions), await connected(sessions)
        broken.say(start(seed=13))
        await asyncio.sleep(0.01)
        session = broken.session
        if away:
            broken.cut()
        session.take(Text("a", "Hello there "))
        await asyncio.sleep(1)
        fine.say(start(), Text("a", TEXT), End("a"))
        await asyncio.sleep(10)
        fine.assert_sums()
        assert list(sessions) == [fine.session]
        if not away:
            (error,) = broken.dismissed
            assert isinstance(error, ExceptionGroup), "the connection raises it"

    play(script, tts=BrokenTTS())


def test_all_sessions_end_with_the_registry() -> None:
    async def script(sessions: SessionRegistry) -> None:
        for cut in (False, True):
            caller = await connected(sessions)
            caller.say(start(), Text("a", "Hello there my friend, "))
            await asyncio.sleep(0.01)
            if cut:
                caller.cut()

    play(script)  # asserts that nothing is left


# --- what is lost ---------------------------------------------------------------------------------


async def deaf(sessions: SessionRegistry) -> Caller:
    """A client to which nothing gets through any more, and nobody has noticed."""
    caller = await connected(sessions)
    caller.delay_s = 1e9
    caller.cut()
    await caller.connect()
    caller.delay_s = 0
    return caller


def test_who_comes_back_too_late_for_a_context_is_told_and_the_others_go_on() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await deaf(sessions)
        caller.session.take(start("a"))
        caller.session.take(Text("a", "Hello there "))
        await asyncio.sleep(35)  # that was sent, and not received
        caller.session.take(start("b"))
        caller.session.take(Text("b", "Hello you. "))
        await asyncio.sleep(5)
        caller.vanish()
        await caller.connect()
        caller.said = [start("a"), start("b"), Text("a", "my"), End("a"), End("b")]
        await asyncio.sleep(10)
        assert caller.codes("a") == ["resume_gap"]
        assert caller.heard("b") == "Helloyou."
        caller.assert_sums("b")

    tts = InlineTTS()
    play(script, tts=tts)
    assert b'duplex_tts_resumes_total{outcome="gap"} 1.0' in tts.metrics.render()


@pytest.mark.parametrize("counted", [True, False])
def test_an_end_that_is_no_longer_kept_is_not_waited_for_in_vain(counted: bool) -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start("a"), Text("a", "Hello. "))
        await asyncio.sleep(1)
        caller.delay_s = 1e9
        caller.cut()
        await caller.connect()
        caller.session.take(End("a"))
        await asyncio.sleep(60)
        caller.vanish()
        request = replace(caller.request(), answers=0 if counted else None)
        assert request.after == {"a": 0}, "all of the audio has come"
        attachment = await sessions.resume(request, "me")
        events = [await attachment.session.send_queue.get() for _ in range(2)]
        assert [type(event) for event in events] == [Ready, Failed]
        assert isinstance(events[1], Failed)
        assert (events[1].context, events[1].code) == ("a", "resume_gap")

    play(script)


def test_a_client_that_acknowledges_is_waited_for_and_loses_nothing() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        caller.say(start("a", mode="batch"))
        await asyncio.sleep(0.001)
        caller.after = {"a": -1}
        caller.acknowledge()
        await asyncio.sleep(0.001)
        caller.delay_s = 1e9
        caller.cut()
        await caller.connect()
        caller.delay_s = 0
        long = "One two three. " * 200
        caller.session.take(Text("a", long))
        caller.session.take(End("a"))
        await asyncio.sleep(300)
        assert 1000 < caller.session.status().characters_waiting < len(long) - 100
        caller.vanish()
        await caller.connect()
        caller.said = [start("a"), Text("a", long), End("a")]
        while not caller.of(Done):
            await asyncio.sleep(0.1)
            caller.acknowledge()
        assert caller.heard() == "".join(long.split())

    play(script, settings(server={"resume_bytes": 1 << 18}))


def test_a_flood_of_names_in_after_ends_the_session_and_no_other() -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller = await connected(sessions)
        names = [f"c{number}" for number in range(2000)]
        for name in names:
            caller.say(Start(name, voice="nobody"))
            await asyncio.sleep(0)
        caller.cut()
        request = replace(caller.request(), after=dict.fromkeys(names, -1), answers=None)
        with pytest.raises(ResumeFailed):
            await sessions.resume(request, "me")
        assert list(sessions) == []

    play(script)


# --- whatever breaks ------------------------------------------------------------------------------

PIECES = ["Hello ", "there. ", "you", " and me. ", "Well, ", "1 ", "2 ", "\n", "Yes. No. "]
actions = st.one_of(
    st.tuples(st.just("text"), st.sampled_from("ab"), st.sampled_from(PIECES)),
    st.tuples(st.sampled_from(["flush", "retract"]), st.sampled_from("ab"), st.integers(0, 9)),
    st.tuples(st.just("cancel"), st.just("b"), st.just(0)),
    st.tuples(st.sampled_from(["cut", "vanish", "acknowledge"]), st.just(""), st.just(0)),
)
pauses_s = st.sampled_from([0.0, 0.0, 0.01, 0.05, 0.15, 1.0, 20.0])


async def break_and_speak(
    sessions: SessionRegistry, story: list[tuple[tuple[str, str, object], float]], delay_s: float
) -> tuple[Caller, dict[str, list[object]]]:
    """Say everything, whatever breaks; returns with what was said to each context."""
    caller = Caller(sessions, delay_s=delay_s)
    await caller.connect()
    said: dict[str, list[object]] = {"a": [], "b": []}
    caller.say(start("a"), start("b", mode="batch"))
    cancelled = False
    for (action, context, what), pause_s in story:
        if context == "b" and cancelled:
            continue
        match action, what:
            case "text", str():
                caller.say(Text(context, what))
                said[context].append(what)
            case "flush", _:
                caller.say(Flush(context))
            case "retract", int():
                length = sum(len(piece) for piece in said[context] if isinstance(piece, str))
                caller.say(Retract(context, max(0, length - what)))
                said[context].append(max(0, length - what))
            case "cancel", _:
                caller.say(Cancel("b"))
                cancelled = True
            case "acknowledge", _:
                caller.acknowledge()
            case _:
                getattr(caller, action)()
        await asyncio.sleep(pause_s)
        if caller.line is None:
            await caller.connect()
    caller.say(End("a"), *([] if cancelled else [End("b")]))
    await asyncio.sleep(60)
    return caller, said


def final_text(said: list[object], answers: list[Retracted]) -> str:
    """What the client knows to be the context's text, when every retraction was answered."""
    text, told = "", iter(answers)
    for each in said:
        if isinstance(each, str):
            text += each
        else:
            text = text[: next(told).to]
    assert not list(told), "answered twice"
    return text


@given(
    st.lists(st.tuples(actions, pauses_s), max_size=25),
    st.sampled_from([0.0, 0.02, 0.2]),
    st.sampled_from([0.0, 0.02, 0.3]),
)
@hypothesis_settings(max_examples=200)
def test_whatever_breaks_every_character_is_heard_exactly_once(
    story: list[tuple[tuple[str, str, object], float]], delay_s: float, engine_delay_s: float
) -> None:
    async def script(sessions: SessionRegistry) -> None:
        caller, said = await break_and_speak(sessions, story, delay_s)
        for context in "ab":
            assert caller.codes(context) == []
            caller.assert_sums(context)
            text = final_text(said[context], caller.of(Retracted, context))
            if caller.of(Done, context):
                assert caller.heard(context) == "".join(text.split())
            else:
                assert "".join(text.split()).startswith(caller.heard(context))
                assert caller.one(Cancelled, context)

    play(script, tts=InlineTTS(delay_s=engine_delay_s))
