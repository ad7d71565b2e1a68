"""What replicas know of each other, with scripted clocks."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="make install-cluster")

from backend.cluster.replicas import Load, ReplicaReport
from backend.ray_serve.directory import GONE_S, ReplicaDirectory, ReportBoard


class ScriptedClock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def report(name: str) -> ReplicaReport:
    return ReplicaReport(name, f"http://{name}:1", Load(0.0, 0.0, 1))


def test_reports_come_oldest_replica_first() -> None:
    board = ReportBoard(ScriptedClock(0.0))
    for name in ("b", "a", "b"):
        answer = board.exchange(report(name), "key")
    assert [each.id for each in answer[2]] == ["b", "a"]


def test_a_silent_replica_is_gone() -> None:
    clock = ScriptedClock(0.0)
    board = ReportBoard(clock)
    board.exchange(report("a"), "")
    clock.now_s = GONE_S - 0.1
    assert len(board.exchange(report("b"), "")[2]) == 2
    clock.now_s = GONE_S
    assert [each.id for each in board.exchange(report("b"), "")[2]] == ["b"]


def test_a_leaving_replica_is_gone_at_once() -> None:
    board = ReportBoard(ScriptedClock(0.0))
    board.exchange(report("a"), "")
    board.leave("a")
    assert [each.id for each in board.exchange(report("b"), "")[2]] == ["b"]


@pytest.mark.parametrize("skew_s", [-1e9, -3600.0, 0.0, 3600.0, 1e9])
def test_clocks_may_differ(skew_s: float) -> None:
    there, here = ScriptedClock(5000.0), ScriptedClock(5000.0 + skew_s)
    board = ReportBoard(there)
    own = ReplicaDirectory("own", "x", here)
    board.exchange(report("a"), "key")
    there.now_s += 2
    own.take_answer(*board.exchange(report("own"), own.cluster_key))
    here.now_s += GONE_S - 2.1
    assert own.find("a") == report("a")
    here.now_s += 0.2
    assert own.find("a") is None
    assert [each.id for each in own.reports()] == ["own"]


def test_the_first_key_is_everyones() -> None:
    board = ReportBoard(ScriptedClock(0.0))
    one, two = (ReplicaDirectory(name, "x", ScriptedClock(0.0)) for name in "ab")
    for each in (one, two):
        each.take_answer(*board.exchange(report(each.own_id), each.cluster_key))
    assert one.cluster_key == two.cluster_key


def test_a_new_board_takes_the_key_that_replicas_have() -> None:
    one, two = (ReplicaDirectory(name, "x", ScriptedClock(0.0)) for name in "ab")
    for board in (ReportBoard(ScriptedClock(0.0)), ReportBoard(ScriptedClock(9.0))):
        for each in (two, one):
            each.take_answer(*board.exchange(report(each.own_id), each.cluster_key))
    assert one.cluster_key == two.cluster_key
    assert len(one.reports()) == 2


async def test_a_silent_board_keeps_no_replica_from_serving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    async def fail(_: ReplicaDirectory, own: ReplicaReport) -> None:
        tried.append(own)
        raise TimeoutError

    monkeypatch.setattr(ReplicaDirectory, "report", fail)
    own = ReplicaDirectory("a", "x")
    async with own.reporting(lambda: report("a")):
        assert tried == [report("a")]
