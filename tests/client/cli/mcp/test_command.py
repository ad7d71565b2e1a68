"""`duplex-tts mcp`, as an agent starts it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pty
import shlex
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from duplex_tts.cli import app as cli
from duplex_tts.cli.mcp.command import setup_lines
from tests.support.repository import ROOT

NEEDS_MCP = pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None, reason="needs pip install 'duplex-tts[mcp]'"
)
COMMAND = ["-m", "duplex_tts", "mcp", "--device", "null"]


def run_mcp(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli.app, ["mcp", *arguments])


# --- help -----------------------------------------------------------------------------------------


def test_the_help_shows_the_line_of_each_agent_unbroken() -> None:
    shown = [line.strip() for line in run_mcp("--help").stdout.splitlines()]
    for line in setup_lines("duplex-tts", "mcp").splitlines():
        assert line in shown
    assert "claude mcp add --scope user duplex-tts -- duplex-tts mcp" in shown
    assert "codex mcp add duplex-tts -- duplex-tts mcp" in shown


def test_setup_prints_the_full_path_of_this_installation() -> None:
    result = run_mcp("--setup")
    assert result.exit_code == 0
    (codex,) = (line for line in result.stdout.splitlines() if line.startswith("codex"))
    program = shlex.split(codex)[5]
    assert program.startswith(str(sys.exec_prefix))


def test_the_lines_quote_a_path_with_a_space() -> None:
    lines = setup_lines("/opt/my tools/duplex-tts", "mcp").splitlines()
    codex, *_, code, _, cursor = (shlex.split(line) for line in lines[3:])
    assert codex[-2:] == ["/opt/my tools/duplex-tts", "mcp"]
    assert json.loads(code[2])["command"] == "/opt/my tools/duplex-tts"
    assert json.loads(lines[-1])["mcpServers"]["duplex-tts"]["args"] == ["mcp"]
    assert cursor


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    result = run_mcp()
    assert result.exit_code == 1
    assert "pip install 'duplex-tts[mcp]'" in result.stderr


@NEEDS_MCP
@pytest.mark.parametrize("option", [("--device", "trumpet"), ("--url", "ftp://host")])
def test_a_wrong_option_is_refused_at_the_start(option: tuple[str, str]) -> None:
    assert run_mcp(*option).exit_code == 2


@pytest.mark.slow
@NEEDS_MCP
async def test_in_a_terminal_it_says_that_an_agent_starts_it() -> None:
    master, slave = pty.openpty()
    command = (sys.executable, *COMMAND)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=slave, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        assert b"Waiting for the messages of an agent" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 128 + signal.SIGINT
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        os.close(master)
        os.close(slave)


# --- the process ----------------------------------------------------------------------------------


@asynccontextmanager
async def run_raw(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, initialized."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(*COMMAND, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        client = {"name": "test", "version": "1"}
        version = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        await send(process, id=1, method="initialize", params=version)
        assert (await receive(process))["result"]["serverInfo"]["name"] == "duplex-tts"
        await send(process, method="notifications/initialized")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def send(process: asyncio.subprocess.Process, **message: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    await process.stdin.drain()


async def receive(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next line of standard output, which must be a message."""
    assert process.stdout is not None
    message: dict[str, Any] = json.loads(await process.stdout.readline())
    assert message["jsonrpc"] == "2.0"
    return message


@NEEDS_MCP
@pytest.mark.slow
async def test_from_nothing_an_agent_speaks_waits_saves_and_leaves() -> None:
    """With a server that is started by the tools, whatever else runs on this machine."""
    from mcp import Client, StdioServerParameters, stdio_client

    strange: list[Exception] = []

    async def note(message: object) -> None:
        if isinstance(message, Exception):  # a line that is no message
            strange.append(message)

    # A server that happens to run on the default port is not found.
    program = (
        "import duplex_tts.cli.shared_options as options; "
        "options.is_ready = lambda url: url != options.DEFAULT_URL; "
        "from duplex_tts.__main__ import main; main()"
    )
    parameters = StdioServerParameters(
        command=sys.executable, args=["-c", program, *COMMAND[2:]], env={"PYTHONPATH": str(ROOT)}
    )
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        transport = stdio_client(parameters, errlog=log)
        async with Client(transport, message_handler=note) as agent:
            said = await agent.call_tool("say", {"text": "Hello there.", "wait": True})
            assert said.structured_content["status"] == "heard"
            path = f"{folder}/hello.mp3"
            saved = await agent.call_tool("save_to_file", {"text": "Hello there.", "path": path})
            assert saved.structured_content["duration_s"] > 0.5
            voices = await agent.call_tool("list_voices", {})
            names = [voice["name"] for voice in voices.structured_content["voices"]]
            assert "heart" in names
        log.seek(0)
        assert "starting one" in log.read()
    assert not strange


@NEEDS_MCP
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_while_it_speaks(url: str, number: int) -> None:
    async with run_raw("--url", url) as process:
        arguments = {"text": "A sentence that takes a while, and then some more."}
        params = {"name": "say", "arguments": arguments}
        await send(process, id=2, method="tools/call", params=params)
        answer = (await receive(process))["result"]
        assert answer["structuredContent"]["status"] in ("speaking", "starting")
        process.send_signal(number)
        async with asyncio.timeout(20):
            assert await process.wait() == 128 + number


@NEEDS_MCP
@pytest.mark.slow
async def test_it_ends_when_the_agent_closes_its_input(url: str) -> None:
    async with run_raw("--url", url) as process:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
