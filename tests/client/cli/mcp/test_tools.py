"""The tools of `duplex-tts mcp`, called by the client of the official SDK."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytest.importorskip("mcp", reason="needs pip install 'duplex-tts[mcp]'")

from duplex_tts.channel.context import Parameters
from duplex_tts.cli.mcp import speech_queue, tools
from duplex_tts.cli.mcp.speech_queue import QUEUE_LIMIT
from duplex_tts.playback.devices import NullDevice
from duplex_tts.player import Player
from tests.client.cli.mcp.agent import run_agent
from tests.support.live_server import live_server, wait_until
from tests.support.scripted_server import ScriptedConnection, idle, run_server

LONG = "One two three four five six seven eight nine ten. " * 20  # 8 s of the fake voice
MODES = ("auto", "legacy")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """`say` waits for its first sound, however busy the machine is."""
    monkeypatch.setattr(tools, "RETURN_WITHIN_S", 60.0)


# --- what the agent reads -------------------------------------------------------------------------


async def test_the_tools_and_all_their_arguments_are_described() -> None:
    async with run_agent("127.0.0.1:1") as agent:
        listed = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
        assert set(listed) == {"say", "stop", "list_voices", "save_to_file"}
        assert agent.client.instructions
        for tool in listed.values():
            assert tool.description
            for argument in tool.input_schema["properties"].values():
                assert argument["description"]
        assert "No Markdown" in listed["say"].description


# --- say ------------------------------------------------------------------------------------------


async def test_say_returns_while_the_text_is_spoken() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        said = await agent.call("say", text=LONG)
        assert (said["status"], said["texts_ahead"]) == ("speaking", 0)
        assert len(agent.queue.texts) == 1, "it is still spoken"
        await wait_until(lambda: agent.loud_ms() > 0, 20)


async def test_say_does_not_wait_long_for_a_slow_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "RETURN_WITHIN_S", 0.0)
    async with run_server(idle) as url, run_agent(url) as agent:
        assert (await agent.call("say", text="Hello."))["status"] == "starting"


async def test_texts_are_spoken_in_the_order_of_the_calls() -> None:
    texts = ["Alpha.", "Beta.", "Gamma."]
    async with live_server() as live, run_agent(live.address) as agent:
        calls = [agent.call_later("say", text=text, wait=True) for text in texts]
        results = await asyncio.gather(*calls)
        assert [result["status"] for result in results] == ["heard"] * 3
        assert [message for _, _, message in agent.progress] == texts


async def test_a_text_behind_others_is_queued() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        await agent.call("say", text=LONG)
        said = await agent.call("say", text="Next.")
        assert (said["status"], said["texts_ahead"]) == ("queued", 1)


async def test_waiting_reports_what_is_heard_as_progress() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        said = await agent.call("say", text="Hello there, friend.", wait=True)
        assert (said["status"], said["heard"]) == ("heard", "Hello there, friend.")
        assert agent.loud_ms() >= 180
        await wait_until(lambda: len(agent.progress) > 0, 20)
        assert agent.progress[-1] == (20, 20, "friend.")


async def test_parameters_of_a_call_replace_the_defaults() -> None:
    starts: list[dict[str, Any]] = []

    async def script(peer: ScriptedConnection) -> None:
        for _ in range(2):
            starts.append(await peer.receive("start"))
            await peer.receive_text(2)
            await peer.receive("end")
            await peer.send_audio(starts[-1]["context"], 0, 2)
            await peer.send_done(starts[-1]["context"], ms=10, characters=2, chunks=1)

    defaults = Parameters(voice="emma", speed=1.2, volume=0.5)
    async with run_server(script) as url, run_agent(url, defaults) as agent:
        await agent.call("say", text="Hi", wait=True)
        await agent.call("say", text="Hi", voice="kore", language="en-US", wait=True)
    assert [start["voice"] for start in starts] == ["emma", "kore"]
    assert [start["speed"] for start in starts] == [1.2, 1.2]
    assert [start["volume"] for start in starts] == [0.5, 0.5]
    assert [start.get("language") for start in starts] == [None, "en-US"]


async def test_a_speed_of_zero_is_refused() -> None:
    async with run_agent("127.0.0.1:1") as agent:
        assert "speed" in await agent.fail("say", text="Hi", speed=0)


async def test_too_many_texts_are_refused_with_what_to_do() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        for _ in range(QUEUE_LIMIT):
            agent.queue.say(LONG, Parameters())
        assert "call `stop`" in await agent.fail("say", text="One more.")


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_silences_its_text_and_no_other(mode: str) -> None:
    async with live_server() as live, run_agent(live.address, mode=mode) as agent:
        call = agent.call_later("say", text=LONG, wait=True)
        await wait_until(lambda: agent.loud_ms() > 0, 20)
        await agent.call("say", text="Next.")
        call.cancel()
        await asyncio.wait([call])
        await wait_until(lambda: not agent.queue.texts, 5)
        assert agent.loud_ms() < 4_000


# --- stop -----------------------------------------------------------------------------------------


async def test_stop_silences_at_once_and_reports_what_was_heard() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        await agent.call("say", text=LONG)
        waiting = agent.call_later("say", text="Next.", wait=True)
        await wait_until(lambda: len(agent.queue.texts) == 2, 20)
        long = agent.queue.texts[0]
        await wait_until(lambda: "three" in long.heard, 20)
        stopped = await agent.call("stop")
        assert stopped["stopped"] == 2
        assert stopped["heard"].startswith("One two three")
        assert f"{stopped['heard']} {stopped['not_heard']}" == f"{LONG}Next."
        assert 0 < stopped["heard_s"] < 4
        assert (await waiting)["status"] == "stopped"
        await wait_until(lambda: live.model.open_utterances == 0, 20)
        assert agent.loud_ms() < 4_000
        assert (await agent.call("stop"))["stopped"] == 0


async def test_speech_goes_on_after_a_stop() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        await agent.call("say", text=LONG)
        await agent.call("stop")
        assert (await agent.call("say", text="Again.", wait=True))["status"] == "heard"


# --- errors ---------------------------------------------------------------------------------------


async def test_an_unknown_voice_is_an_error_that_names_the_voices() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        assert "voices: heart, second" in await agent.fail("say", text="Hello", voice="bob")
        assert (await agent.call("stop"))["problems"] == [], "it was reported once"


async def test_a_text_without_words_is_an_error() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        assert "nothing to speak" in await agent.fail("say", text="")


async def test_a_failure_after_the_answer_is_reported_with_the_next_one() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        await agent.call("say", text="Hello there, my friend. This will explode now.")
        await wait_until(lambda: not agent.queue.texts, 20)
        (problem,) = (await agent.call("say", text="Next."))["problems"]
        assert problem.startswith("Not spoken to its end: 'Hello there, my friend.")
        assert "engine_failed" in problem


async def test_without_a_server_the_agent_is_told_so() -> None:
    async with run_agent("127.0.0.1:1") as agent:
        assert "no speech server answers" in await agent.fail("say", text="Hello")
        assert "no speech server answers" in await agent.fail("list_voices")


async def test_a_bug_is_an_error_and_not_silence() -> None:
    @contextmanager
    def broken() -> Iterator[str]:
        raise ZeroDivisionError
        yield ""

    async with run_agent(broken()) as agent:
        assert await agent.fail("say", text="Hello") == "Error executing tool say"


async def test_without_a_sound_device_the_agent_is_told_to_write_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mute(_device: None, sample_rate_hz: int) -> Player:
        return Player(NullDevice(), sample_rate_hz)

    monkeypatch.setattr(speech_queue, "Player", mute)
    async with live_server() as live, run_agent(live.address, without_sound=True) as agent:
        message = await agent.fail("say", text="Hello")
    assert "no device can play sound" in message
    assert "`save_to_file`" in message


# --- voices ---------------------------------------------------------------------------------------


async def test_voices_are_listed_with_their_language() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        voices = (await agent.call("list_voices"))["voices"]
        assert voices[0] == {
            "name": "heart",
            "language": "qaa",
            "description": "",
            "default": True,
            "ready": True,
        }
        assert [voice["ready"] for voice in voices if voice["name"] == "remote"] == [False]
        assert len((await agent.call("list_voices", language="english"))["voices"]) == 4


async def test_a_language_that_cannot_be_one_is_refused() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        message = await agent.fail("list_voices", language="x" * 100_000)
    assert "is no language" in message


async def test_a_language_without_a_voice_is_an_error_with_the_remedy() -> None:
    async with live_server() as live, run_agent(live.address) as agent:
        message = await agent.fail("list_voices", language="arabic")
    assert "duplex-tts voices available arabic" in message


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "mp3", "opus"])
async def test_a_text_is_saved_with_its_path_and_duration(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"hello.{suffix}"
    async with live_server() as live, run_agent(live.address) as agent:
        saved = await agent.call("save_to_file", text="Hello there.", path=str(file))
    assert saved["path"] == str(file)
    assert saved["words"] == 2
    assert saved["duration_s"] == pytest.approx(soundfile.info(file).duration, abs=0.1)
    assert saved["size_bytes"] == file.stat().st_size
    assert agent.progress[-1][:2] == (12, 12)


async def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    file = tmp_path / "hello.wav"
    file.write_bytes(b"precious")
    async with live_server() as live, run_agent(live.address) as agent:
        message = await agent.fail("save_to_file", text="Hello.", path=str(file))
        assert "`overwrite`" in message
        assert file.read_bytes() == b"precious"
        await agent.call("save_to_file", text="Hello.", path=str(file), overwrite=True)
    assert soundfile.info(file).frames > 0


async def test_a_file_of_unknown_format_is_refused_with_the_formats(tmp_path: Path) -> None:
    async with run_agent("127.0.0.1:1") as agent:
        message = await agent.fail("save_to_file", text="Hi", path=str(tmp_path / "hello.txt"))
    assert "wav, flac, ogg, opus, mp3" in message


async def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with run_agent("127.0.0.1:1") as agent:
        message = await agent.fail("save_to_file", text="Hi", path=f"{tmp_path}/file/hello.wav")
    assert f"the folder {tmp_path}/file does not exist" in message


async def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    async with run_agent("127.0.0.1:1") as agent:
        message = await agent.fail("save_to_file", text="Hi", path=f"{tmp_path}/a\0b.wav")
        assert "NUL" in message
        message = await agent.fail("save_to_file", text="Hi", path=f"{tmp_path}/{'n' * 300}.wav")
        assert "too long" in message


async def test_two_calls_do_not_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    async with live_server() as live, run_agent(live.address) as agent:
        arguments = {"text": LONG, "path": str(file)}
        first = agent.call_later("save_to_file", **arguments)
        await wait_until(lambda: bool(os.listdir(tmp_path)), 20)
        assert "another call" in await agent.fail("save_to_file", **arguments)
        saved = await first
    assert saved["duration_s"] == pytest.approx(soundfile.info(file).duration, abs=0.1)


async def test_a_failed_call_leaves_no_file(tmp_path: Path) -> None:
    text = "Hello there, my friend. This will explode now."
    async with live_server() as live, run_agent(live.address) as agent:
        message = await agent.fail("save_to_file", text=text, path=str(tmp_path / "a.wav"))
    assert "engine_failed" in message
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_call_leaves_no_file(tmp_path: Path, mode: str) -> None:
    speaking = asyncio.Event()

    async def script(peer: ScriptedConnection) -> None:
        start = await peer.receive("start")
        await peer.receive_text(5)
        await peer.send_audio(start["context"], 0, 3)
        speaking.set()

    async with run_server(script) as url, run_agent(url, mode=mode) as agent:
        call = agent.call_later("save_to_file", text="Hello", path=str(tmp_path / "a.wav"))
        await speaking.wait()
        await wait_until(lambda: bool(os.listdir(tmp_path)), 20)
        call.cancel()
        await wait_until(lambda: not os.listdir(tmp_path), 20)


# --- connection -----------------------------------------------------------------------------------


async def test_an_idle_connection_is_closed_and_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speech_queue, "IDLE_S", 0.0)
    async with live_server() as live, run_agent(live.address) as agent:
        for _ in range(2):
            await agent.call("say", text="Hello.", wait=True)
            await wait_until(lambda: not live.connections.sessions(), 20)


async def test_speech_stops_when_the_agent_disconnects() -> None:
    async with live_server() as live:
        async with run_agent(live.address) as agent:
            await agent.call("say", text=LONG)
            assert agent.queue.texts
        assert not agent.queue.texts
        await wait_until(lambda: live.model.open_utterances == 0, 20)
