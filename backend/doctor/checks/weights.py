"""The weights of each engine: complete, and whole as far as their structure tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backend.doctor.file_integrity import file_problem
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.engines.weights import WEIGHTS, Weights, weights_folder


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """A line for each engine that has weights; no network is used."""
    models = inputs.models
    try:
        entries = [path.name for path in models.iterdir()] if models.exists() else None
    except OSError as error:
        text = f"{models} cannot be read: {error.strerror}"
        remedy = "give this user the right to read the folder, or set engine.models to another"
        yield Finding("folder", Status.ERROR, text, remedy)
        return
    empty = "" if entries else ", which is empty" if entries is not None else ", not there yet"
    yield Finding("folder", Status.OK, f"{models}{empty}")
    for engine, weights in WEIGHTS.items():
        yield _check_engine(inputs, engine, weights)


def download_command(inputs: CheckInputs, engine: str) -> str:
    """The command that brings the engine's weights to where the settings look."""
    folder = inputs.settings.engine.models
    return f"duplex-tts download {engine}" + (f" --models {inputs.models}" if folder else "")


def _check_engine(inputs: CheckInputs, engine: str, weights: Weights) -> Finding:
    folder = weights_folder(engine, inputs.models)
    is_wanted = inputs.settings.engine.name == engine
    command = download_command(inputs, engine)
    missing = weights.missing_files(folder)
    partial = any(folder.glob("*.part"))
    if len(missing) == len(weights.required) and not partial:
        status = Status.ERROR if is_wanted else Status.ABSENT
        return Finding(engine, status, "not downloaded", "for a CUDA card, 3 GB:", command)
    broken = Status.ERROR if is_wanted else Status.WARNING
    if missing:
        text = f"missing: {', '.join(missing)}" + partial * "; a download was interrupted"
        return Finding(engine, broken, text, "this resumes where it stopped", command)
    files = [path for path in sorted(folder.iterdir()) if weights.includes(path.name)]
    if problems := [f"{path.name} {why}" for path in files if (why := file_problem(path))]:
        remedy = "this fetches the files that differ"
        return Finding(engine, broken, "; ".join(problems), remedy, command)
    return _describe(engine, files)


def _describe(engine: str, files: list[Path]) -> Finding:
    sizes = {path.name: path.stat().st_size for path in files}
    text = f"complete, {sum(sizes.values()) / 1e9:.2f} GB in {len(sizes)} files"
    return Finding(engine, Status.OK, text, values=sizes)
