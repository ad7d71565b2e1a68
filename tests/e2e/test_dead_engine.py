"""A dead engine: all clients are told, and the process exits so that it is restarted."""

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
from tests.support.live_server import NativeClient, live_server, wait_until
from tests.support.repository import ROOT

pytestmark = pytest.mark.slow

EXIT_TIMEOUT_S = 30.0  # a second on an idle machine


REQUESTS: dict[str, object] = {  # one for each HTTP protocol
    "/v1/speech": {"text": "Hello."},
    "/v1/audio/speech": {"model": "tts-1", "input": "Hello."},
    "/v1/audio/speech?form=mistral": {"voice_id": "heart", "input": "Hello."},
    "/v1/audio/speech?form=together": {"segment": "sentence", "input": "Hello."},
    "/v1/text-to-speech/heart": {"text": "Hello."},
    "/v1/speak": {"text": "Hello."},
    "/tts/bytes": {
        "model_id": "sonic-2",
        "transcript": "Hello.",
        "voice": {"mode": "id", "id": "heart"},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
    },
}


async def test_all_clients_are_told_and_new_ones_refused() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        async with (
            live_server(DyingModel()) as live,
            httpx.AsyncClient(base_url=live.http, timeout=30) as http,
            live.connect() as waiting,
            live.connect() as deadly,
        ):
            assert (await http.get("/readyz")).status_code == 200
            assert (await waiting.speak_text("before", "All is well. ")) == "Alliswell."
            await waiting.send("text", context="a", text=f"{SLOW_WORD} here, please. And go on.")
            await wait_until(lambda: live.model.open_utterances == 1, 10)
            await deadly.send(
                "text", context="b", text=f"{DEADLY_WORD} now. And say this. Or this."
            )
            for client, context in ((waiting, "a"), (deadly, "b")):
                assert_one_error(await client.receive_until("error"), context)
            answer = await http.get("/readyz")
            assert (answer.status_code, answer.json()["ready"]) == (503, False)
            assert (await http.get("/healthz")).status_code == 200
            for path, body in REQUESTS.items():
                assert (await http.post(path, json=body)).status_code == 503, path
            async with live.connect() as late:
                assert late.ready["code"] == "engine_dead"
                assert await late.wait_closed() == 1013
            await waiting.send("text", context="c", text="Hello. ")
            assert_one_error(await waiting.receive_until("error"), "c")
    (line,) = [line for line in logs if line["event"] == "engine.dead"]
    assert (line["log_level"], line["why"]) == ("critical", MESSAGE)


def assert_one_error(messages: list[dict[str, object]], context: str) -> None:
    assert [message["type"] for message in messages] == ["error"]
    (error,) = messages
    assert (error["context"], error["code"]) == (context, "engine_dead")
    assert error["message"] == MESSAGE


async def test_a_gpu_lost_while_learning_a_voice_is_reported_once(tmp_path: Path) -> None:
    class LostModel(CloningModel):
        def learn(self, name: str, audio: Path) -> Voice:
            raise EngineDead(MESSAGE)

    dead: list[EngineDead] = []
    path = tmp_path / "recording"
    path.write_bytes(recording())
    tts = TTSManager(LostModel(), EngineSettings(), Metrics(), 1)
    tts.on_dead = dead.append
    async with tts:
        for name in ("anna", "bob"):
            with pytest.raises(EngineDead):
                await tts.add_voice(name, path)
        with pytest.raises(EngineDead):
            tts.check_capacity()
    assert len(dead) == 1


# --- the process ----------------------------------------------------------------------------------


@contextmanager
def run_server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server in a process; yields the process and its address."""
    arguments = [sys.executable, "-m", "tests.support.engines.dying_engine", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split("http://")[1].strip()
        finally:
            process.kill()


async def wait_exit(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the process; returns its exit status and stderr."""
    _, stderr = await asyncio.to_thread(process.communicate, timeout=EXIT_TIMEOUT_S)
    return process.returncode, stderr


async def wait_for_two_queued(http: httpx.AsyncClient) -> None:
    for _ in range(1000):
        if (await http.get("/v1/status")).json()["engine"]["waiting"] == 2:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("two utterances never waited")


async def test_the_process_exits_with_an_error_and_the_remedy() -> None:
    with run_server() as (process, address):
        url = f"ws://{address}/ws/tts"
        async with connect(url) as one, connect(url) as two:
            listener, deadly = NativeClient(one), NativeClient(two)
            await listener.receive_until("ready")
            await deadly.receive_until("ready")
            await listener.send("text", context="a", text=f"{SLOW_WORD} here, please. ")
            await listener.send("ping", id=1)
            await listener.receive_until("pong")
            async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as http:
                body = {"text": f"{SLOW_WORD} here, please."}
                request = asyncio.create_task(http.post("/v1/speech", content=json.dumps(body)))
                await wait_for_two_queued(http)
                await deadly.send("text", context="b", text=f"{DEADLY_WORD} now. ")
                for client in (listener, deadly):
                    (error,) = await client.receive_until("error")
                    assert error["code"] == "engine_dead"
                    assert await client.wait_closed() in (1001, 1012)
                answer = await request
        assert answer.status_code == 503
        assert answer.json()["code"] == "engine_dead"
        status, stderr = await wait_exit(process)
    assert status == 1
    assert stderr.rstrip().endswith(f"duplex-tts: {MESSAGE}")
    assert "Traceback" not in stderr


async def test_the_process_exits_despite_a_thread_blocked_on_the_gpu() -> None:
    with run_server() as (process, address):
        async with connect(f"ws://{address}/ws/tts") as socket:
            client = NativeClient(socket)
            await client.send("text", context="a", text=f"{STUCK_WORD} now. ")
            await client.wait_closed()
        status, stderr = await wait_exit(process)
    assert status == 1
    assert MESSAGE in stderr
