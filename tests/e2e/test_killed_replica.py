"""Two server processes with the embedded voice; one is ended by `kill -9` in mid speech."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.client.fault_proxy import fault_proxy, host_and_port
from duplex_tts import Audio, Done, Session, Utterance
from tests.support.live_server import wait_until
from tests.support.repository import ROOT

pytestmark = pytest.mark.slow

TEXT = (
    "When the last train had left, the old clock began to strike again. Two children looked up, "
    "counted thirteen strokes, and decided to tell no one. Nobody had wound it for years. "
)
_STARTUP_S = 30


@contextmanager
def replica_processes(
    folder: Path, size: int, *, direct: bool
) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Replicas by address, each a process that knows the others."""
    processes: dict[str, subprocess.Popen[str]] = {}
    try:
        started = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.support.replica_process",
                    str(number),
                    str(folder),
                    str(int(direct)),
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(size)
        ]
        for process in started:
            assert process.stdout is not None
            lines = (line.split() for line in process.stdout)
            processes[next(line[1] for line in lines if line[:1] == ["serving"])] = process
        reports = {str(n): address for n, address in enumerate(processes)}
        (folder / "replicas.json.new").write_text(json.dumps(reports))
        (folder / "replicas.json.new").rename(folder / "replicas.json")
        yield processes
    finally:
        for process in started:
            process.kill()
            process.wait(10)


async def write(text: str) -> AsyncIterator[str]:
    for word in text.split(" "):
        yield f"{word} "
        await asyncio.sleep(0.02)


async def collect(utterance: Utterance, audio: list[Audio]) -> Done:
    async for chunk in utterance:
        audio.append(chunk)
    done = await utterance.done()
    assert isinstance(done, Done)
    return done


def assert_tiled(audio: list[Audio], length: int) -> None:
    """Assert that every character and millisecond was delivered exactly once."""
    at, at_ms = 0, 0.0
    for chunk in audio:
        assert chunk.text[0] == at
        assert chunk.start_ms == pytest.approx(at_ms, abs=1)
        assert len(chunk.data) == pytest.approx(chunk.duration_ms * 48, abs=4)
        at, at_ms = chunk.text[1], chunk.start_ms + chunk.duration_ms
    assert at == length


@pytest.mark.parametrize("is_direct", [True, False], ids=["direct", "through the first address"])
async def test_a_client_goes_on_elsewhere_and_others_do_not_notice(
    tmp_path: Path, is_direct: bool
) -> None:
    with replica_processes(tmp_path, 2, direct=is_direct) as processes:
        victim, survivor = processes
        async with (
            fault_proxy(victim) as first,
            Session.connect(first.address) as session,
            Session.connect(survivor) as other,
        ):
            if is_direct:
                await wait_until(lambda: session.stats().direct, _STARTUP_S)
            audio: list[Audio] = []
            others: list[Audio] = []
            text = TEXT * 3
            speaking = asyncio.create_task(collect(session.speak(write(text)), audio))
            beside = asyncio.create_task(collect(other.speak(write(text)), others))
            await wait_until(lambda: len(audio) >= 2 and len(others) >= 2, _STARTUP_S)
            first.upstream = host_and_port(survivor)
            os.kill(processes[victim].pid, signal.SIGKILL)
            async with asyncio.timeout(120):
                done = await speaking
                await beside
            assert done.characters == audio[-1].text[1]
            assert_tiled(audio, done.characters)
            assert_tiled(others, others[-1].text[1])
            assert session.stats().restarts == 1
            stats = other.stats()
            assert (stats.reconnects, stats.restarts) == (0, 0)
