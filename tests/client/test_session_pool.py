import asyncio

import pytest

from duplex_tts import ConnectionLost, Done, Refused, SessionManager
from tests.support.live_server import live_server, wait_until
from tests.support.scripted_server import ScriptedConnection, idle, run_server


async def test_a_call_has_one_session() -> None:
    async with run_server(idle, idle) as url, SessionManager(url) as calls:
        first = await calls.get_or_create("a")
        assert await calls.get_or_create("a") is first
        assert await calls.get_or_create("b") is not first
        assert "a" in calls
        assert "c" not in calls
        assert len(calls) == 2
        assert sorted(calls.stats()) == ["a", "b"]


async def test_concurrent_calls_get_the_same_session() -> None:
    async with run_server(idle) as url, SessionManager(url) as calls:
        sessions = await asyncio.gather(*(calls.get_or_create("a") for _ in range(5)))
        assert len(set(sessions)) == 1


async def test_a_cancelled_caller_does_not_affect_others() -> None:
    async with run_server(idle) as url, SessionManager(url) as calls:
        impatient = asyncio.ensure_future(calls.get_or_create("a"))
        patient = asyncio.ensure_future(calls.get_or_create("a"))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).stats().transport == "websocket"


async def test_closing_a_call_frees_its_slot() -> None:
    async with run_server(idle, idle) as url, SessionManager(url, limit=1) as calls:
        first = await calls.get_or_create("a")
        with pytest.raises(Refused, match="limit") as refused:
            await calls.get_or_create("b")
        assert refused.value.code == "too_many_sessions"
        await calls.close("a")
        await calls.close("a")
        await calls.close("unknown")
        assert first.stats().transport == "down"
        assert await calls.get_or_create("b") is not first


async def test_a_failed_connection_leaves_no_call() -> None:
    async def refusing(peer: ScriptedConnection) -> None:
        await peer.send(type="error", context=None, code="overloaded", message="no room")

    async with run_server(refusing, idle, greetings=0) as url, SessionManager(url) as calls:
        first, second = await asyncio.gather(
            calls.get_or_create("a"), calls.get_or_create("a"), return_exceptions=True
        )
        assert isinstance(first, Refused)
        assert isinstance(second, Refused)
        assert len(calls) == 0


async def test_closing_a_call_while_it_connects_raises_for_its_callers() -> None:
    async with run_server(idle, greetings=0) as url, SessionManager(url) as calls:
        waiting = asyncio.ensure_future(calls.get_or_create("a"))
        await asyncio.sleep(0.05)
        await calls.close("a")
        with pytest.raises(ConnectionLost, match="closed"):
            await waiting


@pytest.mark.slow
async def test_idle_sessions_are_closed_and_busy_ones_stay() -> None:
    async with live_server() as live, SessionManager(live.address, idle_s=0.2) as calls:
        await calls.get_or_create("idle")
        busy = await calls.get_or_create("busy")
        for _ in range(30):
            assert isinstance(await busy.speak("One").done(), Done)
            await asyncio.sleep(0.02)
        assert "busy" in calls
        assert "idle" not in calls
        await wait_until(lambda: len(live.connections.sessions()) == 1, within_s=5)
        await wait_until(lambda: "busy" not in calls, within_s=5)


async def test_leaving_the_block_closes_everything() -> None:
    async with live_server() as live:
        before = asyncio.all_tasks()
        async with SessionManager(live.address) as calls:
            sessions = [await calls.get_or_create(str(number)) for number in range(5)]
            utterance = sessions[0].speak("One")
        with pytest.raises(ConnectionLost):
            await calls.get_or_create("late")
        assert utterance.finished
        assert [session.stats().transport for session in sessions] == ["down"] * 5
        await wait_until(lambda: not live.connections.sessions(), within_s=5)
        names = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not {name for name in names if "duplex-tts" in name}


async def test_many_calls_in_a_row_leave_no_session() -> None:
    async with live_server() as live, SessionManager(live.address, limit=2) as calls:
        for number in range(30):
            session = await calls.get_or_create(str(number))
            assert isinstance(await session.speak("One").done(), Done)
            await calls.close(str(number))
        assert len(calls) == 0
        await wait_until(lambda: not live.connections.sessions(), within_s=5)
