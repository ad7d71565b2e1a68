"""Kill a batch repeatedly: every file must be complete, and none rendered twice.

`duplex-tts batch` runs as a subprocess and is killed by SIGKILL at random times and restarted until
it completes. The server keeps running.
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

SEED = 7  # for every line: the same text then gives the same sound
AT_ONCE = 4
EARLIEST_S, LATEST_S = 0.5, 4.0  # when a run is killed; the earliest is before its first file
RENDERED_AGAIN = 10  # lines rendered once more and compared

KillTrigger = Callable[[subprocess.Popen[bytes]], bool]
"""Waits until the run shall be killed; returns False if it ended before."""

FileStamp = tuple[int, int, int]  # inode, modification time, size: changes if the file is replaced


@dataclass(frozen=True, slots=True)
class BatchKills:
    """The outcome, by file names. `runs`: all but the last were killed. `rendered_twice`: existing
    files that were written again. `different`: files that differ from an uninterrupted rendering
    (a sample is compared).
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
        """All files that are not as they should be."""
        return sorted({*self.missing, *self.broken, *self.leftovers, *self.different})


def kill_batches(url: str, texts: Sequence[str], folder: Path, moment: KillTrigger) -> BatchKills:
    """Render the texts into `folder`, killing runs at every `moment` until one ends. Blocks.

    Raises `subprocess.CalledProcessError` if a run fails by itself.
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
    runs, before, twice = 0, dict[str, FileStamp](), set[str]()
    ended = False
    while not ended:
        runs += 1
        ended = _run_batch(command, moment)
        after = _file_stamps(out)
        twice |= {name for name, stamp in before.items() if after.get(name) != stamp}
        before = after
    expected = {f"{id_}.wav" for id_ in lines}
    return BatchKills(
        runs=runs,
        files=len(before),
        missing=sorted(expected - set(before)),
        broken=sorted(name for name in before if not _is_readable(out / name)),
        rendered_twice=sorted(twice),
        leftovers=sorted(path.name for path in out.glob(".*.part")),
    )


async def batch_kills(
    url: str, lines: int, seed: int, progress: Callable[[float], None] = lambda share: None
) -> BatchKills:
    """Run a batch of `lines` short texts, killed at random times and restarted until complete."""
    rng, texts = random.Random(seed), [_line_text(number) for number in range(lines)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def moment(run: subprocess.Popen[bytes]) -> bool:
            progress(len(_file_stamps(folder / "out")) / lines)
            return _wait_to_kill(run, rng.uniform(EARLIEST_S, LATEST_S))

        kills = await asyncio.to_thread(kill_batches, url, texts, folder, moment)
        different = await asyncio.to_thread(_find_differing, url, texts, folder, rng)
    return replace(kills, different=different)


async def measure(setup: Setup) -> Result:
    """Count incomplete and twice rendered files of a batch killed at random times."""
    lines = setup.effort.batch_lines
    kills = await batch_kills(setup.url, lines, setup.seed, setup.progress)
    note = (
        f"{lines} lines, killed {kills.runs - 1} times; "
        f"{min(RENDERED_AGAIN, lines)} lines rendered once more and compared"
    )
    return Result(
        [
            Figure("killed batch: incomplete files", len(kills.incomplete), 0, True, "", note),
            Figure("killed batch: files rendered twice", len(kills.rendered_twice), 0, True),
        ],
        asdict(kills),
    )


def _run_batch(command: Sequence[str], moment: KillTrigger) -> bool:
    """Run the batch once; returns whether it completed."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        if moment(run):
            run.kill()
            return False
        assert run.stderr is not None
        stderr = run.stderr.read()
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command, stderr=stderr)
    return True


def _wait_to_kill(run: subprocess.Popen[bytes], wait_s: float) -> bool:
    try:
        run.wait(wait_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _file_stamps(out: Path) -> dict[str, FileStamp]:
    found = {path.name: path.stat() for path in out.glob("[!.]*")}
    return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in found.items()}


def _is_readable(path: Path) -> bool:
    """Whether the file has as many frames as its header says, and at least one."""
    try:
        with soundfile.SoundFile(path) as file:
            return bool(0 < file.frames == len(file.read(dtype="int16")))
    except soundfile.SoundFileError:
        return False


def _line_text(number: int) -> str:
    """A short text: the row needs many files, not long ones."""
    return f"This is number {number}."


def _find_differing(url: str, texts: Sequence[str], folder: Path, rng: random.Random) -> list[str]:
    """Render some lines again without kills; returns the names of those that differ."""
    chosen = sorted(rng.sample(range(len(texts)), min(RENDERED_AGAIN, len(texts))))
    again = folder / "again"
    again.mkdir()
    kill_batches(url, [texts[n] for n in chosen], again, lambda _run: False)
    pairs = [(f"line-{n:04d}.wav", f"line-{at:04d}.wav") for at, n in enumerate(chosen)]
    return [
        name
        for name, fresh in pairs
        if not np.array_equal(_read_pcm(folder / "out" / name), _read_pcm(again / "out" / fresh))
    ]


def _read_pcm(path: Path) -> NDArray[np.int16]:
    samples, _ = soundfile.read(path, dtype="int16")
    return np.asarray(samples)
