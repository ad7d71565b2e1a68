"""The machine: processor, cores, memory, load, and the checked-out commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from backend.cores import CGROUP, core_count

_COMMAND_LIMIT_S = 10.0


def machine_name() -> str:
    """The processor and the number of usable cores, such as `AMD EPYC, 2 cores`."""
    count = core_count()
    return f"{_processor()}, {count} core{'s' if count != 1 else ''}"


def busy_share() -> float:
    """Load average of the last minute per core; 0 if unknown."""
    if not hasattr(os, "getloadavg"):
        return 0.0
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)


def memory_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> tuple[int, int]:
    """Available and total memory, a container's limit included; (0, 0) if unknown."""
    try:
        found = re.findall(r"^(\w+):\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
        fields = {name: int(kib) * 1024 for name, kib in found}
        free, total = fields["MemAvailable"], fields["MemTotal"]
    except (OSError, KeyError):
        return 0, 0
    with suppress(OSError, ValueError):
        limit = int((cgroup / "memory.max").read_text())  # `max` is no number
        used = int((cgroup / "memory.current").read_text())
        return min(free, max(0, limit - used)), min(total, limit)
    return free, total


def operating_system() -> str:
    """Name and version, such as `Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64`."""
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}, {kernel}"
    with suppress(OSError, AttributeError, KeyError):
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    return kernel


def git_commit(root: Path = Path(__file__).parents[2]) -> str | None:
    """The checked-out commit, with `+` if files differ from it; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_COMMAND_LIMIT_S
        ).stdout.strip()

    if not (root / ".git").exists():  # else that of a repository around an environment
        return None
    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
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
