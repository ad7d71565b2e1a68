"""The voices on disk: downloaded ones of the embedded engine, learned ones of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backend.doctor.file_integrity import file_problem, tensor_names
from backend.doctor.findings import CheckInputs, Finding, Status
from backend.engines.weights import WEIGHTS

_CONDITIONING, _ABOUT = "conditioning.safetensors", "voice.json"
_NEEDED = {"speaker", "prompt_tokens"}


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """A line for each engine, and one for each broken voice."""
    yield from _check_embedded(inputs.models / "hibari")
    for engine in WEIGHTS:
        yield from _check_learned(engine, inputs.models / "voices" / engine)


def _check_embedded(folder: Path) -> Iterator[Finding]:
    from hibari import voices as catalogue

    here: list[str] = []
    damaged: list[str] = []
    for name, entry in catalogue.VOICES.items():
        bundled = entry.get("bundled")
        path = (Path(catalogue.ASSETS) if bundled else folder) / str(entry["file"])
        if path.is_file():
            intact = catalogue.sha256_of(path) == entry["sha256"]
            (here if intact else damaged).append(name)
            if not intact and not bundled:
                text = f"{name} is damaged: {path}"
                yield Finding("hibari", Status.WARNING, text, "it is fetched again", f"rm {path}")
    if catalogue.DEFAULT in here:
        rest = len(catalogue.VOICES) - len(here) - len(damaged)
        more = f"; {rest} more are downloaded at their first use" if rest else ""
        yield Finding("hibari", Status.OK, f"{', '.join(here)}{more}")
    else:
        from backend.engines.hibari.engine import REINSTALL

        text = f"{catalogue.DEFAULT}, the embedded voice, is missing or damaged"
        yield Finding("hibari", Status.WARNING, text, command=REINSTALL.removeprefix("run: "))


def _check_learned(engine: str, folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        return
    voices = [each for each in sorted(folder.iterdir()) if each.is_dir() and each.name[0] != "."]
    broken = {each: why for each in voices if (why := _voice_problem(each))}
    for path, why in broken.items():
        remedy = "learn it again from its recording"
        command = f"rm -r {path} && duplex-tts voices add {path.name} RECORDING.wav"
        yield Finding(engine, Status.WARNING, f"{path.name}: {why}", remedy, command)
    whole = len(voices) - len(broken)
    yield Finding(engine, Status.OK, f"{whole} learned voice{'s' * (whole != 1)}")


def _voice_problem(folder: Path) -> str:
    for name in (_ABOUT, _CONDITIONING):
        path = folder / name
        if not path.exists():
            return f"has no {name}"
        if why := file_problem(path):
            return f"{name} {why}"
    if missing := _NEEDED - tensor_names(folder / _CONDITIONING):
        return f"{_CONDITIONING} lacks {', '.join(sorted(missing))}"
    return ""
