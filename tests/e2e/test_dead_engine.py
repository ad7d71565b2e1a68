"""An engine that is dead: everybody is told, and the process ends so that it is started anew."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import structlog
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from backend.config import EngineSettings
from backend.errors import EngineDead
from backend.events import Voice
from backend.monitoring.metrics import Metrics
from backend.tts_manager import TTSManager
from tests.support.engines.cloning_model import CloningModel, recording
from tests.support.engines.dying_engine import (
    DEADLY_WORD,
    MESSAGE,
    SLOW_WORD,
    STUCK_WORD,
    DyingModel,
)
from tests.support.live_server import Client, eventually, live_server
from tests.support.repository import ROOT

ENDS_WITHIN_S = 30.0  # a second on an idle machine


REQUESTS: dict[str, object] = {  # of every protocol with an answer over HTTP
    "/v1/speech": {"text": "Hello."},
    "/v1/audio/speech": {"model": "tts-1", "input": "Hello."},
    "/v1/text-to-speech/heart": {"text": "Hello."},
    "/v1/speak": {"text": "Hello."},
    "/tts/bytes": {
        "model_id": "sonic-2",
        "transcript": "Hello.",
        "voice": {"mode": "id", "id": "heart"},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
    },
}


async def test_everybody_is_told_and_nobody_new_is_let_in() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        async with (
            live_server(DyingModel()) as live,
            httpx.AsyncClient(base_url=live.http, timeout=30) as http,
            live.client() as waiting,
            live.client() as deadly,
        ):
            assert (await http.get("/readyz")).status_code == 200
            assert (await waiting.speak("before", "All is well. ")) == "Alliswell."
            await waiting.say("text", context="a", text=f"{SLOW_WORD} here, please. And go on.")
            await eventually(lambda: live.model.open_utterances == 1, 10)
            await deadly.say("text", context="b", text=f"{DEADLY_WORD} now. And say this. Or this.")
            for client, context in ((waiting, "a"), (deadly, "b")):
                assert_told_once(await client.read_to("error"), context)
            answer = await http.get("/readyz")
            assert (answer.status_code, answer.json()["ready"]) == (503, False)
            assert (await http.get("/healthz")).status_code == 200
            for path, body in REQUESTS.items():
                assert (await http.post(path, json=body)).status_code == 503, path
            async with live.client() as late:
                assert late.ready["code"] == "engine_dead"
                assert await late.closed() == 1013
            await waiting.say("text", context="c", text="Hello. ")
            assert_told_once(await waiting.read_to("error"), "c")
    (line,) = [line for line in logs if line["event"] == "engine.dead"]
    assert (line["log_level"], line["why"]) == ("critical", MESSAGE)


def assert_told_once(messages: list[dict[str, object]], context: str) -> None:
    assert [message["type"] for message in messages] == ["error"]
    (error,) = messages
    assert (error["context"], error["code"]) == (context, "engine_dead")
    assert error["message"] == MESSAGE


async def test_a_card_that_is_lost_while_a_voice_is_made_counts(tmp_path: Path) -> None:
    class Lost(CloningModel):
        def learn(self, name: str, audio: Path) -> Voice:
            raise EngineDead(MESSAGE)

    dead: list[EngineDead] = []
    path = tmp_path / "recording"
    path.write_bytes(recording())
    tts = TTSManager(Lost(), EngineSettings(), Metrics(), 1)
    tts.on_dead = dead.append
    async with tts:
        for name in ("anna", "bob"):
            with pytest.raises(EngineDead):
                await tts.add_voice(name, path)
        with pytest.raises(EngineDead):
            tts.check_capacity()
    assert len(dead) == 1


# --- the program ----------------------------------------------------------------------------------


@contextmanager
def program() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server in a process of its own, and its address."""
    arguments = [sys.executable, "-m", "tests.support.engines.dying_engine", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, running.stdout.readline().split("http://")[1].strip()
        finally:
            running.kill()


async def ended(running: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit status, and what it said last."""
    _, said = await asyncio.to_thread(running.communicate, timeout=ENDS_WITHIN_S)
    return running.returncode, said


async def both_wait(http: httpx.AsyncClient) -> None:
    for _ in range(1000):
        if (await http.get("/v1/status")).json()["engine"]["waiting"] == 2:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("they do not")


async def test_the_process_ends_with_an_error_and_the_remedy() -> None:
    with program() as (running, address):
        url = f"ws://{address}/ws/tts"
        async with connect(url) as one, connect(url) as two:
            listener, deadly = Client(one), Client(two)
            await listener.read_to("ready")
            await deadly.read_to("ready")
            await listener.say("text", context="a", text=f"{SLOW_WORD} here, please. ")
            await listener.say("ping", id=1)
            await listener.read_to("pong")
            async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as http:
                body = {"text": f"{SLOW_WORD} here, please."}
                request = asyncio.create_task(http.post("/v1/speech", content=json.dumps(body)))
                await both_wait(http)
                await deadly.say("text", context="b", text=f"{DEADLY_WORD} now. ")
                for client in (listener, deadly):
                    (error,) = await client.read_to("error")
                    assert error["code"] == "engine_dead"
                    assert await client.closed() in (1001, 1012)
                answer = await request
        assert answer.status_code == 503
        assert answer.json()["code"] == "engine_dead"
        status, said = await ended(running)
    assert status == 1
    assert said.rstrip().endswith(f"duplex-tts: {MESSAGE}")
    assert "Traceback" not in said


async def test_the_process_ends_though_a_thread_waits_for_the_card_for_ever() -> None:
    with program() as (running, address):
        async with connect(f"ws://{address}/ws/tts") as socket:
            client = Client(socket)
            await client.say("text", context="a", text=f"{STUCK_WORD} now. ")
            await client.closed()
        status, said = await ended(running)
    assert status == 1
    assert MESSAGE in said
