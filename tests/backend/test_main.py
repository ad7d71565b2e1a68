"""The application: routes, start and refused starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import backend.main
from backend.config import Settings
from backend.main import main
from backend.transport.listener import listen
from tests.support.engines.fake_engine import FakeModel
from tests.support.live_server import live_server
from tests.support.repository import ROOT

MAIN = ROOT / "backend" / "main.py"


@pytest.mark.slow
async def test_health_and_readiness_answer_200() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        answer = ready.json()
        assert answer.pop("rendered_s_ago") >= 0  # by the warm-up
        assert answer == {
            "ready": True,
            "engine": "fake",
            "voice": "heart",
            "loaded": True,
            "problem": None,
            "others": {},
        }


async def test_readyz_answers_503_while_draining() -> None:
    async with live_server() as live, httpx.AsyncClient(base_url=live.http) as http:
        await http.get("/healthz")
        await live.connections.drain()
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        async with live.connect() as client:
            assert client.ready["code"] == "overloaded"
            assert await client.wait_closed() == 1013


async def test_voices_are_listed_with_the_default() -> None:
    engine = {"voice": "second", "threads": 1}
    async with live_server(engine=engine) as live, httpx.AsyncClient(base_url=live.http) as http:
        answer = (await http.get("/v1/voices")).json()
    assert answer["default"] == "second"
    listed = {voice["name"]: voice["ready"] for voice in answer["voices"]}
    assert listed == {"heart": True, "second": True, "remote": False, "broken": True}


async def test_metrics_count_requests_and_audio() -> None:
    async with (
        live_server() as live,
        httpx.AsyncClient(base_url=live.http) as http,
        live.connect() as client,
    ):
        await client.speak_text("a", "Hello there. ")
        await client.send("text", context="b", text="One two ")
        await client.send("cancel", context="b")
        await client.receive_until("cancelled")
        await client.socket.send("not JSON")
        await client.receive_until("error")
        during = await http.get("/metrics")
    assert during.headers["content-type"].startswith("text/plain")
    for figure in (
        "duplex_tts_connections 1.0",
        "duplex_tts_contexts 0.0",
        "duplex_tts_characters_total 21.0",
        "duplex_tts_cancels_total 1.0",
        'duplex_tts_errors_total{code="bad_json"} 1.0',
    ):
        assert figure in during.text
    assert "Hello" not in during.text


async def test_a_batching_engine_has_one_thread() -> None:
    model = FakeModel(max_batch=64)
    async with live_server(model, engine={"threads": 3}):
        assert len(model.engines) == 1


async def test_a_containers_limit_bounds_the_engine_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.application.parallel_cores", lambda: 2)
    model = FakeModel()
    async with live_server(model, engine={"threads": 0}):
        pass
    assert len(model.engines) == 2


async def test_one_engine_is_created_per_thread() -> None:
    model = FakeModel()
    async with live_server(model, engine={"threads": 3}):
        pass
    assert len(model.engines) == 3


# --- the program ----------------------------------------------------------------------------------


def test_accepted_sockets_disable_nagle() -> None:
    listener = listen("127.0.0.1", 0)
    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as sent:
        assert sent.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_bad_flag_stops_the_start_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--port", "99999"])
    assert str(stop.value.code).startswith("duplex-tts: ")
    assert "port" in str(stop.value.code)
    assert "\n" not in str(stop.value.code).strip()
    assert capsys.readouterr().out == ""


def test_a_port_in_use_stops_the_start_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stop:
            main(["--port", str(port)])
    assert f"port {port}" in str(stop.value.code)
    assert "--port" in str(stop.value.code)


def test_a_closed_stderr_does_not_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.main.serve", lambda *_: sys.exit("served"))
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit, match="served"):
        main([])


@pytest.mark.parametrize(
    ("flags", "host", "keys"),
    [
        ([], "127.0.0.1", ""),
        (["--set", "access.create_key=true"], "127.0.0.1", "dtts_kept"),
        (["--set", "access.create_key=true", "--host", "0.0.0.0"], "0.0.0.0", "dtts_kept"),
        (["--set", "access.create_key=true", "--set", "access.api_keys=mine"], "127.0.0.1", "mine"),
        (["--set", "access.api_keys=mine", "--lan"], "0.0.0.0", "mine,dtts_kept"),
    ],
)
def test_a_created_key_is_required(
    flags: list[str], host: str, keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[Settings, str]] = []
    monkeypatch.setattr(backend.main, "kept_key", lambda: "dtts_kept")
    monkeypatch.setattr(backend.main, "configure_logging", lambda _: None)
    monkeypatch.setattr(backend.main, "serve", lambda *given: served.append(given))
    main(flags)
    [(settings, shown)] = served
    assert (settings.server.host, settings.access.api_keys) == (host, keys)
    assert shown == ("dtts_kept" if "dtts_kept" in keys else "")


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_script_prints_its_address_and_stops_at_a_signal(
    stop: signal.Signals, tmp_path: Path
) -> None:
    """The only test with the real voice, in a temporary directory without PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    arguments = [sys.executable, str(MAIN), "--port", "0"]
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        announced = program.stdout.readline()
        assert announced.startswith("duplex-tts ready on http://127.0.0.1:")
        answer = httpx.get(f"{announced.split()[-1]}/readyz").json()
        assert answer["ready"] is True
        program.send_signal(stop)
        assert program.wait(timeout=10) in (0, -stop)
        assert "voice heart" in program.stdout.read()
