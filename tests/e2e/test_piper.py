"""The real server speaks with a real voice of Piper while the text is written."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.client import connect

from bench.harness.corpus import split_word_groups
from bench.harness.judge import Judge, word_errors
from tests.support.live_server import NativeClient
from tests.support.piper.piper_model import JOE, RATE_HZ, joe_path
from tests.support.repository import ROOT

TEXT = (
    "The library opens at nine and closes at six, but on Saturdays it closes an hour earlier. "
    "Please bring the blue bowl to the kitchen."
)
START_S = 60


@contextmanager
def serve(models: Path, *options: str) -> Iterator[str]:
    """Run the server in a process; yields its address."""
    command = [sys.executable, "backend/main.py", "--port", "0", *options]
    command += ["--set", f"engine.models={models}"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            said = (line for line in process.stdout if line.startswith("duplex-tts ready on"))
            yield next(said).split("http://")[1].strip()
        finally:
            process.kill()


async def speak(address: str, text: str, **start: object) -> NDArray[np.float32]:
    """Send the text a word at a time; returns its sound."""
    async with asyncio.timeout(START_S), connect(f"ws://{address}/ws/tts", max_size=None) as wire:
        client = NativeClient(wire)
        await client.send("start", context="a", format="pcm_f32le", **start)
        for words in split_word_groups(text, 1):
            await client.send("text", context="a", text=words)
            await asyncio.sleep(0.05)
        await client.send("end", context="a")
        messages = await client.receive_until("done", "a")
    assert messages[-1]["characters"] == len(text)
    sound = b"".join(m["data"] for m in messages if m["type"] == "audio")
    return np.frombuffer(sound, "<f4")


@cache
def judge() -> Judge:
    return Judge(threads=1)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "piper").mkdir()
    for end in ("", ".json"):
        (tmp_path / "piper" / f"{JOE}.onnx{end}").symlink_to(f"{joe_path()}{end}")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "voice"),
    [(("--engine", "piper"), {}), (("--engine", "hibari"), {"voice": JOE})],
    ids=["alone", "beside the embedded voice"],
)
async def test_a_streamed_text_is_understood(
    models: Path, options: tuple[str, ...], voice: dict[str, str]
) -> None:
    with serve(models, *options) as address:
        sound = await speak(address, TEXT, sample_rate=RATE_HZ, **voice)
    transcript = await asyncio.to_thread(judge().transcribe_pcm, sound, RATE_HZ)
    # Mostly none; with other cuts on a busy machine the judge once heard "in our" for "an hour".
    assert word_errors(TEXT, transcript).errors <= 2, transcript
