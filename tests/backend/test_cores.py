"""The cores that a process may use, in a container, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import cores
from backend.cores import core_quota, parallel_cores


@pytest.mark.parametrize(
    ("limit", "quota", "threads"),
    [
        ("150000 100000\n", 1.5, 1),
        ("50000 100000\n", 0.5, 1),
        ("300000 100000\n", 3.0, 3),
        ("1600000 100000\n", 16.0, 8),
        ("max 100000\n", None, 8),
        ("", None, 8),
        ("100000 0\n", None, 8),
        ("much\n", None, 8),
    ],
)
def test_no_more_threads_than_the_containers_limit_pays_for(
    limit: str, quota: float | None, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "core_count", lambda: 8)
    (tmp_path / "cpu.max").write_text(limit)
    assert core_quota(tmp_path) == quota
    assert parallel_cores(tmp_path) == threads


@pytest.mark.parametrize(("quota_us", "threads"), [(250_000, 2), (50_000, 1), (-1, 8)])
def test_limits_of_cgroup_version_1_count(
    quota_us: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "core_count", lambda: 8)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota_us}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert parallel_cores(tmp_path) == threads


def test_without_a_limit_there_is_a_thread_for_each_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "core_count", lambda: 8)
    assert parallel_cores(tmp_path) == 8
