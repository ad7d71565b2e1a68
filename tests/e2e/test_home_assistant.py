"""The add-on for Home Assistant: its files, and its run script against a stand-in Supervisor.

The rules are those of Home Assistant's developer documentation (apps, configuration), of the
Supervisor's validation and of the add-on linter.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info

from backend.config_sources import load_settings
from backend.transport.auth import Access, check_exposure
from tests.support.repository import ROOT

ADD_ON = ROOT / "deploy" / "home-assistant"
CONFIG: dict[str, Any] = yaml.safe_load((ADD_ON / "config.yaml").read_text("utf-8"))
TRANSLATIONS = sorted((ADD_ON / "translations").glob("*.yaml"))

# The fields that the add-on uses, of those documented.
FIELDS: dict[str, type] = {
    "name": str,
    "version": str,
    "slug": str,
    "description": str,
    "arch": list,
    "image": str,
    "discovery": list,
    "ports": dict,
    "timeout": int,
    "tmpfs": bool,
    "options": dict,
    "schema": dict,
}
REQUIRED = {"name", "version", "slug", "description", "arch"}
NUMBER = r"[\d.]*"
ELEMENT = re.compile(
    rf"(bool|email|url|port|(str|password|int|float)(\({NUMBER},{NUMBER}\))?|match\(.*\)"
    r"|list\(.+\)|device(\(subsystem=[a-z]+\))?)\??"
)


@pytest.fixture
def add_on() -> ModuleType:
    """The run script."""
    spec = importlib.util.spec_from_file_location("run_add_on", ADD_ON / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the files ------------------------------------------------------------------------------------


def test_the_configuration_has_only_documented_fields() -> None:
    assert set(CONFIG) <= set(FIELDS)
    assert set(CONFIG) >= REQUIRED
    for name, value in CONFIG.items():
        assert isinstance(value, FIELDS[name]), name
    assert re.fullmatch(r"[-_.A-Za-z0-9]+", CONFIG["slug"])
    assert re.fullmatch(r"([a-zA-Z\-.:\d{}]+/)*?([\-\w{}]+)/([\-\w{}]+)", CONFIG["image"])
    assert set(CONFIG["arch"]) <= {"amd64", "aarch64"}  # those that are not deprecated
    assert 10 <= CONFIG["timeout"] <= 300
    assert all(re.fullmatch(r"\d+/(tcp|udp)", port) for port in CONFIG["ports"])


def test_every_option_has_a_type_and_a_default_of_it() -> None:
    assert set(CONFIG["options"]) == set(CONFIG["schema"])
    for name, kind in CONFIG["schema"].items():
        (element,) = kind if isinstance(kind, list) else (kind,)
        assert ELEMENT.fullmatch(element), name
    assert CONFIG["options"]["log_level"] in re.findall(r"\w+", CONFIG["schema"]["log_level"])


def test_the_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert CONFIG["version"] == project["version"]


@pytest.mark.parametrize("file", TRANSLATIONS, ids=lambda file: file.stem)
def test_every_translation_is_complete(file: Path) -> None:
    translation = yaml.safe_load(file.read_text("utf-8"))
    assert set(translation) == {"configuration", "network"}
    assert list(translation["configuration"]) == list(CONFIG["schema"])
    assert list(translation["network"]) == list(CONFIG["ports"])
    for texts in translation["configuration"].values():
        assert set(texts) == {"name", "description"}
        assert all(isinstance(text, str) and text for text in texts.values())


def test_there_is_an_english_translation() -> None:
    assert "en" in [file.stem for file in TRANSLATIONS]


def test_the_repository_is_one_of_add_ons() -> None:
    repository = yaml.safe_load((ROOT / "repository.yaml").read_text("utf-8"))
    assert set(repository) <= {"name", "url", "maintainer"}
    assert repository["name"]


# --- the options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "host"),
    [
        (CONFIG["options"], "127.0.0.1"),
        ({**CONFIG["options"], "api_keys": ["one", "", "two"]}, "0.0.0.0"),
        ({"speed": 2, "log_level": "debug", "api_keys": []}, "127.0.0.1"),
        ({}, "127.0.0.1"),  # all are optional for the script
    ],
)
def test_options_become_settings(add_on: ModuleType, options: dict[str, Any], host: str) -> None:
    settings = load_settings(environ=add_on.to_environment(options, "emma")).settings
    access = Access(settings.access)
    check_exposure(settings, access)
    assert settings.server.host == host
    assert access.requires_key == (host == "0.0.0.0")  # HTTP is open to nobody without a key
    assert (settings.wyoming.host, settings.wyoming.port) == ("0.0.0.0", 10200)
    assert settings.engine.voice == "emma"
    assert settings.engine.speed == (options.get("speed") or 1.0)
    assert settings.log.level == (options.get("log_level") or "info")
    assert settings.wyoming.announce == "never"


def test_a_key_with_a_comma_does_not_become_two_keys(add_on: ModuleType) -> None:
    with pytest.raises(SystemExit, match="comma"):
        add_on.to_environment({"api_keys": ["long, random, words"]}, "")


PIPER = [
    {"name": "de_DE-mls-medium", "quality": "medium", "speakers": 236, "installed": False},
    {"name": "de_DE-eva_k-x_low", "quality": "x_low", "speakers": 1, "installed": False},
    {"name": "de_DE-thorsten-high", "quality": "high", "speakers": 1, "installed": False},
    {"name": "de_DE-thorsten-medium", "quality": "medium", "speakers": 1, "installed": False},
]


@pytest.mark.parametrize(
    ("options", "voice", "downloaded"),
    [
        ({}, "", []),
        ({"language": "en"}, "", []),
        ({"voice": "emma"}, "emma", []),
        ({"voice": "emma", "language": "de"}, "emma", []),
        ({"language": "de"}, "de_DE-thorsten-medium", ["de_DE-thorsten-medium"]),
        ({"voice": " fr_FR-siwis-low "}, "fr_FR-siwis-low", ["fr_FR-siwis-low"]),
        ({"language": "tlh"}, "", []),
        ({"voice": "xx_XX-missing-low"}, "", ["xx_XX-missing-low"]),
    ],
)
def test_the_voice_is_that_of_the_options_or_one_for_the_language(
    add_on: ModuleType, options: dict[str, str], voice: str, downloaded: list[str]
) -> None:
    asked: list[str] = []

    def run_voices(command: str, name: str, *_: str) -> str | None:
        if command == "available":
            return json.dumps(PIPER) if name == "de" else None
        asked.append(name)
        return None if "missing" in name else ""

    add_on.run_voices = run_voices  # type: ignore[attr-defined]
    assert add_on.choose_voice(options) == voice
    assert asked == downloaded


def test_a_voice_that_is_here_already_comes_before_a_better_one(add_on: ModuleType) -> None:
    here = [{**PIPER[0], "installed": True}, *PIPER[1:]]
    add_on.run_voices = lambda *_: json.dumps(here)  # type: ignore[attr-defined]
    assert add_on.find_voice("de") == "de_DE-mls-medium"


# --- the run script -------------------------------------------------------------------------------

_DRIVER = """\
import json, runpy, sys
from pathlib import Path
import importlib.util
spec = importlib.util.spec_from_file_location("run_add_on", sys.argv[1])
add_on = importlib.util.module_from_spec(spec)
spec.loader.exec_module(add_on)
add_on.OPTIONS, add_on.WYOMING_PORT = Path(sys.argv[2]), int(sys.argv[3])
add_on.identity = dict  # the user of the image is not on this machine
add_on.os.chown = lambda *_: None
add_on._FIRST_PAUSE_S = 0.01
sys.exit(add_on.main())
"""


class Supervisor:
    """A stand-in: refuses the first message, keeps the others."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str | None, Any]] = []
        self.received = threading.Event()
        supervisor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                supervisor.messages.append((self.path, self.headers["Authorization"], body))
                is_first = len(supervisor.messages) == 1
                self.send_response(502 if is_first else 200)
                self.end_headers()
                self.wfile.write(b'{"result": "ok", "data": {"uuid": "1"}}')
                if not is_first:
                    supervisor.received.set()

            def log_message(self, format: str, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    stand_in = Supervisor()
    thread = threading.Thread(target=stand_in.server.serve_forever, daemon=True)
    thread.start()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()
    thread.join()


async def describe(port: int) -> Info:
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
    assert event is not None
    return Info.from_event(event)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_home_assistant_is_told_the_port_once_the_server_is_ready(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """With the real voice: the add-on as it runs, except for its user and its port."""
    options = tmp_path / "options.json"
    options.write_text(json.dumps(CONFIG["options"]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "SUPERVISOR_API": supervisor.url,
        "SUPERVISOR_TOKEN": "secret",
        "DUPLEX_TTS_SERVER__PORT": "0",
    }
    script = [sys.executable, "-c", _DRIVER, str(ADD_ON / "run.py"), str(options), str(port)]
    with subprocess.Popen(script, env=environment, cwd=tmp_path) as process:
        try:
            assert supervisor.received.wait(90)
            info = asyncio.run(describe(port))
            (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            passed = Path(f"/proc/{child}/environ").read_bytes()
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert info.tts[0].supports_synthesize_streaming
    assert b"secret" not in passed  # the server does not get the token
    path, authorization, body = supervisor.messages[-1]
    assert (path, authorization) == ("/discovery", "Bearer secret")
    assert body["service"] in CONFIG["discovery"]
    uri = urlparse(body["config"]["uri"])
    assert (uri.scheme, uri.hostname, uri.port) == ("tcp", socket.gethostname().lower(), port)


@pytest.mark.slow
def test_a_server_that_does_not_start_ends_the_add_on(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    options = tmp_path / "options.json"
    options.write_text(json.dumps({**CONFIG["options"], "speed": 9}))
    environment = {**os.environ, "SUPERVISOR_API": supervisor.url, "SUPERVISOR_TOKEN": "secret"}
    script = [sys.executable, "-c", _DRIVER, str(ADD_ON / "run.py"), str(options), "1"]
    done = subprocess.run(
        script, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "engine.speed" in done.stderr
    assert supervisor.messages == []


def test_an_add_on_that_is_stopped_does_not_go_on_asking_the_supervisor(
    add_on: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("SUPERVISOR_TOKEN", "secret")
    monkeypatch.setenv("SUPERVISOR_API", url)
    add_on._FIRST_PAUSE_S = 3600.0  # type: ignore[attr-defined]
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as server:
        threading.Timer(0.2, server.terminate).start()
        add_on.announce("tcp://here:10200", server)
        assert server.returncode == -signal.SIGTERM


@pytest.mark.slow
def test_the_catalogue_has_a_voice_for_the_languages_of_the_page(add_on: ModuleType) -> None:
    """With the real command: the catalogue is in the package, nothing is downloaded."""
    add_on.identity = dict  # type: ignore[attr-defined]
    assert add_on.find_voice("de") == "de_DE-thorsten-medium"
    assert add_on.find_voice("no such language") == ""
