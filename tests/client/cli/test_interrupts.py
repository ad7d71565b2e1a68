"""Ctrl-C and other signals at any moment: no traceback, and the exit code of a shell."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from duplex_tts.cli.interrupts import Interruption, exit_on_signals, interruptible
from tests.support.repository import ROOT
from tests.support.scripted_server import ScriptedConnection, run_server

pytestmark = pytest.mark.slow

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def run_code(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        timeout=60,
        check=False,
    )


WHEN_IMPORTED = """
    import os, signal, sys

    package, number = sys.argv[1:]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it may be ignored: tests run under nohup, too

    class Interrupting:
        def find_spec(self, name, path=None, target=None):
            if name == package:
                os.kill(os.getpid(), int(number))

    sys.meta_path.insert(0, Interrupting())
"""
SAY = "sys.argv[1:] = ['say', 'Hello']\nfrom duplex_tts.__main__ import main\nmain()\n"
SERVE = (
    "sys.argv[1:] = ['backend.main', '--port', '0']\n"
    "from duplex_tts.cli.server_program import main\nmain()\n"
)
SCRIPT = (
    "import runpy\nsys.argv[1:] = ['--port', '0']\n"
    "runpy.run_path('backend/main.py', {}, '__main__')\n"
)


@pytest.mark.parametrize("sent", SIGNALS)
@pytest.mark.parametrize(
    ("program", "package"),
    [
        (SAY, "typer"),
        (SAY, "numpy"),
        (SAY, "soundfile"),
        (SAY, "duplex_tts.cli.app"),
        (SERVE, "backend.main"),
        (SERVE, "fastapi"),
        (SERVE, "onnxruntime"),
    ],
)
def test_a_signal_during_imports_exits_at_once(program: str, package: str, sent: int) -> None:
    code = textwrap.dedent(WHEN_IMPORTED) + program
    ended = run_code(code, package, str(int(sent)))
    assert "Traceback" not in ended.stderr
    assert "Error" not in ended.stderr
    assert ended.returncode == 128 + sent


@pytest.mark.parametrize("package", ["argparse", "fastapi", "onnxruntime"])
def test_ctrl_c_during_imports_of_the_server_script_exits_at_once(package: str) -> None:
    ended = run_code(textwrap.dedent(WHEN_IMPORTED) + SCRIPT, package, str(int(signal.SIGINT)))
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 130


def test_no_slow_import_precedes_the_signal_handlers() -> None:
    ended = run_code(
        """
        import sys
        import duplex_tts.__main__, duplex_tts.cli.server_program
        print(sorted({"asyncio", "typer", "numpy", "httpx", "websockets"} & set(sys.modules)))
        """
    )
    assert ended.stdout == "[]\n"


def test_a_signal_during_exec_is_not_lost() -> None:
    ended = run_code(
        """
        import os, signal
        from duplex_tts.cli import server_program

        real = os.execv
        os.execv = lambda *given: (os.kill(os.getpid(), signal.SIGINT), real(*given))
        server_program.exec_program("backend.main", ["--port", "0"])
        """
    )
    assert (ended.returncode, ended.stderr) == (130, "")


def test_work_is_cancelled_once_and_cleans_up() -> None:
    cleaned_up = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # ignored: it is cleaning up
            await asyncio.sleep(0)
            cleaned_up.append(True)

    with interruptible() as interruption:
        with pytest.raises(KeyboardInterrupt):
            interruption.run_coroutine(work())
        os.kill(os.getpid(), signal.SIGINT)
    assert cleaned_up == [True]
    assert interruption.exit_code == 143


def test_a_signal_outside_of_work_raises_and_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_during_a_long_cleanup_exits_at_once() -> None:
    ended = run_code(
        """
        import os, signal
        from duplex_tts.cli import interrupts

        interrupts.CLEANUP_S = -1.0
        with interrupts.interruptible():
            try:
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    assert (ended.returncode, ended.stderr) == (143, "")


def test_ignored_signals_stay_ignored() -> None:
    ended = run_code(
        """
        import os, signal
        from duplex_tts.cli.interrupts import exit_on_signals, interruptible

        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        exit_on_signals()
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
        print("alive")
        """
    )
    assert ended.stdout == "alive\n"


def test_exceptions_of_the_work_are_raised() -> None:
    async def work() -> None:
        raise ValueError("mine")

    with interruptible() as interruption, pytest.raises(ValueError, match="mine"):
        interruption.run_coroutine(work())
    assert Interruption().signal_number is None
    assert callable(exit_on_signals)


COMMANDS = {
    "say": ["say", "Hello", "--device", "null"],
    "say -o": ["say", "Hello", "-o", "new.wav"],
    "batch": ["batch", "in.jsonl", "out"],
}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("moment", ["connecting", "rendering"])
async def test_a_waiting_command_is_stopped_by_a_signal(
    tmp_path: Path, command: str, moment: str, sent: signal.Signals
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "Hello."}\n')
    process: asyncio.subprocess.Process

    async def script(peer: ScriptedConnection) -> None:
        if moment == "rendering":
            await peer.receive("start")
            await peer.receive("text")
        process.send_signal(sent)

    async with run_server(script, greetings=int(moment == "rendering")) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "duplex_tts", *COMMANDS[command], "--url", url),
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        _, stderr = await process.communicate()
    assert process.returncode == 128 + sent, stderr
    assert b"Traceback" not in stderr
    assert b"stopped" in stderr
    left = {name for _, _, names in os.walk(tmp_path) for name in names}
    assert left <= {"in.jsonl", ".batch.lock"}
