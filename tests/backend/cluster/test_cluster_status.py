"""All replicas in one picture, and their sum."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from backend.cluster.cluster_status import (
    MOST_SESSIONS,
    ClusterPicture,
    add_statuses,
    describe_cluster,
)
from backend.cluster.replicas import Load, ReplicaReport
from backend.monitoring.metrics import Metrics


def create_status(sounds_s: tuple[float, ...] = (), **fields: Any) -> dict[str, Any]:
    """A body of `GET /v1/status`."""
    metrics = Metrics()
    metrics.connection_opened()
    metrics.count_step(2.0, 0.5)
    metrics.count_gap("rendered_late", 0.3)
    metrics.count_error("bad_json")
    for seconds in sounds_s:
        metrics.observe_first_sound(seconds)
    engine = {"name": "fake", "voice": "heart", "threads": 2, "waiting": 1, "rtf": 0.1}
    return json.loads(  # type: ignore[no-any-return]
        json.dumps(
            {
                "time_s": 5.0,
                "uptime_s": 100.0,
                "accepting": True,
                "window_s": 300.0,
                "ttfa_goal_s": 0.15,
                "engine": {**engine, "device": None, "loaded": True, "memory": None},
                "other_engines": [],
                "figures": asdict(metrics.figures()),
                "text_waiting": 3,
                "messages_waiting": 0,
                "sessions": [{"id": "s", "age_s": 1.0}],
                **fields,
            }
        )
    )


def create_report(id_: str, status: Mapping[str, Any], **load: Any) -> ReplicaReport:
    return ReplicaReport(
        id_,
        "http://10.0.0.7",
        Load(**{"first_wait_s": 0.1, "share": 0.5, "free_slots": 7} | load),
        status=status,
    )


@dataclass
class KnownReplicas:
    """What a replica knows."""

    known: list[ReplicaReport] = field(default_factory=list)
    own_id: str = "a"
    cluster_key: str = "secret"
    offers_direct: bool = False

    def find(self, replica_id: str) -> ReplicaReport | None:
        return next((each for each in self.known if each.id == replica_id), None)

    def reports(self) -> list[ReplicaReport]:
        return self.known


def test_counters_add_up_and_the_sum_has_the_shape_of_a_status() -> None:
    one = create_status((0.1, 0.1, 0.1))
    other = create_status((0.4,), uptime_s=9.0)
    other["figures"]["errors"]["overloaded"] = 4
    other["engine"] |= {"rtf": 0.3, "waiting": 4}
    summed = add_statuses([one, other])
    assert summed.keys() >= one.keys() - {"sessions"}
    assert summed["figures"].keys() == one["figures"].keys()
    figures = summed["figures"]
    assert (figures["connections"], figures["audio_s"], figures["underruns"]) == (2, 4.0, 2)
    assert figures["gaps"]["rendered_late"] == {"count": 2, "seconds": 0.6}
    assert figures["errors"] == {"bad_json": 2, "overloaded": 4}
    assert summed["uptime_s"] == 100.0
    assert summed["text_waiting"] == 6
    engine = summed["engine"]
    assert (engine["threads"], engine["waiting"]) == (4, 5)
    assert engine["rtf"] == pytest.approx(0.2)
    assert (engine["name"], engine["device"], engine["loaded"]) == ("fake", None, True)
    spread = figures["first_sound_s"]
    assert (spread["count"], spread["p50"], spread["max"]) == (4, 0.1, 0.4)
    assert spread["p95"] == 0.4
    assert sum(spread["counts"]) == 4


def test_other_engines_add_up_by_name() -> None:
    joe, ray = ({"name": name, "threads": 2, "rtf": 0.2, "loaded": True} for name in ("joe", "ray"))
    summed = add_statuses(
        [
            create_status(other_engines=[joe]),
            create_status(other_engines=[ray, {**joe, "rtf": 0.4, "loaded": False}]),
        ]
    )
    mine, other = summed["other_engines"]
    assert (mine["name"], mine["threads"], mine["loaded"]) == ("joe", 4, False)
    assert mine["rtf"] == pytest.approx(0.3)
    assert other == ray


def test_quantiles_of_the_sum_are_those_of_all_values_but_for_their_buckets() -> None:
    values = [0.02 * n for n in range(1, 60)]
    summed = add_statuses([create_status(tuple(values[n::3])) for n in range(3)])
    alone = create_status(tuple(values))["figures"]["first_sound_s"]
    spread = summed["figures"]["first_sound_s"]
    assert spread["counts"] == alone["counts"]
    for name in ("p50", "p95"):
        bucket = next(bound for bound in alone["bounds"] if bound >= alone[name])
        assert spread[name] == min(bucket, alone["max"])


ODD_STATUSES: list[Any] = [
    {},
    {"figures": None},
    {"figures": {}},
    {"figures": {"errors": 7, "gaps": None, "first_sound_s": {"bounds": [1], "counts": [1, 2]}}},
    {"figures": {"first_sound_s": {}}, "engine": 7, "sessions": {"id": "s"}, "time_s": "now"},
    {"figures": {"connections": "many"}, "sessions": ["s", None]},
    {"figures": {}, "other_engines": [7, {"rtf": "slow"}]},
]


@pytest.mark.parametrize("odd", ODD_STATUSES)
@pytest.mark.parametrize("first", [False, True])
def test_a_replica_of_another_version_does_not_break_the_picture(odd: Any, first: bool) -> None:
    reports = [create_report("a", create_status()), create_report("b", odd)]
    picture = describe_cluster(reports[::-1] if first else reports)
    assert {each["id"] for each in picture.replicas} == {"a", "b"}
    assert picture.sum["uptime_s"] == 100.0
    assert "engine" in picture.sum
    json.dumps([picture.replicas, picture.sum, picture.sessions], allow_nan=False)


def test_a_line_says_how_a_replica_is() -> None:
    full = create_report("b", create_status((0.2,)), first_wait_s=math.inf, share=1.2, free_slots=0)
    (line,) = describe_cluster([full]).replicas
    assert (line["id"], line["first_wait_s"], line["share"], line["free_slots"]) == (
        "b",
        None,
        1.2,
        0,
    )
    assert (line["connections"], line["underruns"], line["errors"]) == (1, 1, 1)
    assert (line["first_sound_p95_s"], line["accepting"]) == (0.2, True)


def test_sessions_have_their_replica_and_are_limited() -> None:
    many = [{"id": f"s{n}"} for n in range(MOST_SESSIONS)]
    picture = describe_cluster(
        [create_report("a", create_status()), create_report("b", create_status(sessions=many))]
    )
    assert len(picture.sessions) == MOST_SESSIONS
    assert [each["replica"] for each in picture.sessions[:2]] == ["a", "b"]
    assert picture.sum["session_count"] == MOST_SESSIONS + 1


def test_without_replicas_there_is_a_picture_too() -> None:
    assert describe_cluster([]).replicas == []


def test_the_picture_is_made_at_most_twice_a_second() -> None:
    now_s = 0.0
    replicas = KnownReplicas([create_report("a", create_status())])
    picture = ClusterPicture(replicas, lambda: now_s)
    first = picture.status()
    assert picture.status() is first
    now_s = 0.6
    replicas.known = []
    assert picture.status().replicas == []


def test_the_holder_of_a_session_is_found() -> None:
    other = create_status(sessions=[{"id": "t"}])
    replicas = KnownReplicas([create_report("a", create_status()), create_report("b", other)])
    holder = ClusterPicture(replicas).find_session("t")
    assert holder is not None
    assert holder.id == "b"
    assert ClusterPicture(replicas).find_session("u") is None


def test_a_hundred_replicas_cost_little() -> None:
    base = create_status((0.1, 0.2))
    base["sessions"] = [{"id": f"s{n}", "gaps": {}, "age_s": 1.0} for n in range(100)]
    reports = [create_report(f"r{n}", copy.deepcopy(base)) for n in range(100)]
    describe_cluster(reports)
    started_s = time.thread_time()
    for _ in range(5):
        describe_cluster(reports)
    spent_s = (time.thread_time() - started_s) / 5
    print(f"a picture of 100 replicas with 10,000 sessions: {1000 * spent_s:.1f} ms")
    assert spent_s < 0.1
