"""A batch that is killed again and again: is every file complete, and none rendered twice?

`duplex-tts batch` runs as a process of its own and dies by SIGKILL, at random moments, until it
gets to its end between two of them. The server lives on.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from bench.harness.report import Figure, Result
from bench.harness.setup import Setup

SEED = 7  # of every line: the same text then gives the same sound
AT_ONCE = 4
EARLIEST_S, LATEST_S = 0.5, 4.0  # of a run: from before its first file on
RENDERED_AGAIN = 10  # lines, afterwards, to compare

Moment = Callable[[subprocess.Popen[bytes]], bool]
"""Waits for the moment to kill the run; False when the run has ended before."""

Stamp = tuple[int, int, int]  # inode, time of change, size: another file has another one


@dataclass(frozen=True, slots=True)
class BatchKills:
    """How it went, by files' names. `runs`: all but the last were killed. `rendered_twice`: files
    that were there and were written again. `different`: of some that were rendered once more,
    undisturbed, those that sound otherwise.
    """

    runs: int
    files: int
    missing: list[str]
    broken: list[str]
    rendered_twice: list[str]
    leftovers: list[str]
    different: list[str] = field(default_factory=list)

    @property
    def incomplete(self) -> list[str]:
        """Files with which something is wrong."""
        return sorted({*self.missing, *self.broken, *self.leftovers, *self.different})


def kill_batches(url: str, texts: Sequence[str], folder: Path, moment: Moment) -> BatchKills:
    """Render the texts into `folder`, killed at every `moment`, to the end. Blocks.

    Raises `subprocess.CalledProcessError` when a run fails by itself.
    """
    lines = {f"line-{number:04d}": text for number, text in enumerate(texts)}
    job, out = folder / "texts.jsonl", folder / "out"
    job.write_text(
        "".join(
            json.dumps({"id": id_, "text": text, "seed": SEED}) + "\n"
            for id_, text in lines.items()
        )
    )
    command = [sys.executable, "-P", "-m", "duplex_tts", "batch", str(job), str(out)]
    command += ["--url", url, "--jobs", str(AT_ONCE)]
    runs, before, twice = 0, dict[str, Stamp](), set[str]()
    ended = False
    while not ended:
        runs += 1
        ended = _run(command, moment)
        after = _stamps(out)
        twice |= {name for name, stamp in before.items() if after.get(name) != stamp}
        before = after
    expected = {f"{id_}.wav" for id_ in lines}
    return BatchKills(
        runs=runs,
        files=len(before),
        missing=sorted(expected - set(before)),
        broken=sorted(name for name in before if not _readable(out / name)),
        rendered_twice=sorted(twice),
        leftovers=sorted(path.name for path in out.glob(".*.part")),
    )


async def batch_kills(
    url: str, lines: int, seed: int, progress: Callable[[float], None] = lambda share: None
) -> BatchKills:
    """Kill a batch of `lines` short texts at random, and start it again, until it is done."""
    rng, texts = random.Random(seed), [_text(number) for number in range(lines)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def moment(run: subprocess.Popen[bytes]) -> bool:
            progress(len(_stamps(folder / "out")) / lines)
            return _within(run, rng.uniform(EARLIEST_S, LATEST_S))

        kills = await asyncio.to_thread(kill_batches, url, texts, folder, moment)
        different = await asyncio.to_thread(_different, url, texts, folder, rng)
    return replace(kills, different=different)


async def measure(setup: Setup) -> Result:
    """Whether anything is wrong with the files of a batch that is killed at random."""
    lines = setup.effort.batch_lines
    kills = await batch_kills(setup.url, lines, setup.seed, setup.progress)
    note = (
        f"{lines} lines, killed {kills.runs - 1} times; "
        f"{min(RENDERED_AGAIN, lines)} of them rendered once more and compared"
    )
    return Result(
        [
            Figure("killed batch: files not complete", len(kills.incomplete), 0, True, "", note),
            Figure("killed batch: files rendered twice", len(kills.rendered_twice), 0, True),
        ],
        asdict(kills),
    )


def _run(command: Sequence[str], moment: Moment) -> bool:
    """One run; returns whether it got to its end."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        if moment(run):
            run.kill()
            return False
        assert run.stderr is not None
        said = run.stderr.read()
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command, stderr=said)
    return True


def _within(run: subprocess.Popen[bytes], wait_s: float) -> bool:
    try:
        run.wait(wait_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _stamps(out: Path) -> dict[str, Stamp]:
    found = {path.name: path.stat() for path in out.glob("[!.]*")}
    return {name: (each.st_ino, each.st_mtime_ns, each.st_size) for name, each in found.items()}


def _readable(path: Path) -> bool:
    """Whether it can be read to the end that its header promises, and is not empty."""
    try:
        with soundfile.SoundFile(path) as file:
            return bool(0 < file.frames == len(file.read(dtype="int16")))
    except soundfile.SoundFileError:
        return False


def _text(number: int) -> str:
    """The batch is about many files, not about long ones."""
    return f"This is number {number}."


def _different(url: str, texts: Sequence[str], folder: Path, rng: random.Random) -> list[str]:
    """Render some lines once more, undisturbed; returns those that sound different."""
    chosen = sorted(rng.sample(range(len(texts)), min(RENDERED_AGAIN, len(texts))))
    again = folder / "again"
    again.mkdir()
    kill_batches(url, [texts[n] for n in chosen], again, lambda _run: False)
    pairs = [(f"line-{n:04d}.wav", f"line-{at:04d}.wav") for at, n in enumerate(chosen)]
    return [
        name
        for name, fresh in pairs
        if not np.array_equal(_pcm(folder / "out" / name), _pcm(again / "out" / fresh))
    ]


def _pcm(path: Path) -> NDArray[np.int16]:
    samples, _ = soundfile.read(path, dtype="int16")
    return np.asarray(samples)
