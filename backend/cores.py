"""The cores that this process may use: a container has fewer than its machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where a container sees its own limits."""


def core_count() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def core_quota(cgroup: Path = CGROUP) -> float | None:
    """The cores' worth of time that a container may use; None: no limit, or unknown."""
    with suppress(OSError, ValueError, ArithmeticError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        return int(quota) / int(period)  # `max` is no number
    with suppress(OSError, ValueError, ArithmeticError):  # cgroup version 1
        limit_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        period_us = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
        return limit_us / period_us if limit_us > 0 else None
    return None


def parallel_cores(cgroup: Path = CGROUP) -> int:
    """Threads that can compute at once, at least 1. More than the quota pays for would use it up
    early in each period of 100 ms, and all of them stop until the next: a gap for every listener.
    """
    quota = core_quota(cgroup)
    return max(1, min(core_count(), int(quota))) if quota else core_count()
