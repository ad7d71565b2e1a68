"""The packages of Chatterbox: present, and can they be imported."""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Iterator

from backend.doctor.checks.torch_build import INSTALL
from backend.doctor.findings import CheckInputs, Finding, Status

# Those of requirements-chatterbox.txt and requirements-chatterbox-parts.txt that are imported.
PACKAGES = (
    "chatterbox-tts",
    "torch",
    "torchaudio",
    "transformers",
    "diffusers",
    "conformer",
    "s3tokenizer",
    "resemble-perth",
    "librosa",
    "einops",
    "omegaconf",
    "safetensors",
)
_AGAIN = f"rm -f .venv/installed-chatterbox && {INSTALL}"


def run(inputs: CheckInputs) -> Iterator[Finding]:
    """Versions, an import of the models, and of the watermark."""
    versions = {name: _version(name) for name in PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    if "chatterbox-tts" in missing:
        text = "not installed: it speaks on a CUDA card, also in voices of recordings"
        yield Finding("packages", inputs.if_missing, text, "in a checkout run", INSTALL)
        return
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield Finding("packages", Status.OK, listed, values=versions)
    if missing:
        text = f"missing: {', '.join(missing)}"
        yield Finding("missing", inputs.if_broken, text, "in a checkout run", _AGAIN)
    yield _try_models(inputs)
    if inputs.settings.chatterbox.watermark:
        yield _try_watermark(inputs)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _try_models(inputs: CheckInputs) -> Finding:
    warnings.simplefilter("ignore")
    try:
        for name in ("chatterbox.tts", "chatterbox.tts_turbo"):
            importlib.import_module(name)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        text = f"cannot be imported: {why}"
        return Finding("models", inputs.if_broken, text, "in a checkout run", _AGAIN)
    return Finding("models", Status.OK, "can be imported")


def _try_watermark(inputs: CheckInputs) -> Finding:
    try:
        works = importlib.import_module("perth").PerthImplicitWatermarker is not None
        why = "needs pkg_resources"
    except (ImportError, OSError, AttributeError) as error:
        works, why = False, str(error)
    if works:
        return Finding("watermark", Status.OK, "can be imported")
    remedy = "install setuptools below 81, or set chatterbox.watermark = false"
    return Finding("watermark", inputs.if_broken, why, remedy, _AGAIN)
