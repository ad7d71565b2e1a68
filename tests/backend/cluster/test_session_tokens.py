"""The replica in a session's token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.cluster.replicas import Load, ReplicaReport
from backend.cluster.session_tokens import create_token, find_holder
from tests.support.cluster import KnownReplicas

REPORT = ReplicaReport("b.2", "http://10.0.0.7:8001", Load(0.0, 0.0, 1))


def test_a_lone_server_names_no_replica() -> None:
    assert "." not in create_token(None)
    assert find_holder(create_token(None), None) is None


def test_the_holder_is_found_by_the_token() -> None:
    token = create_token(KnownReplicas("b.2"))  # ids may have dots
    assert find_holder(token, KnownReplicas("a", {"b.2": REPORT})) == REPORT


def test_own_tokens_and_those_of_a_lone_server_have_no_other_holder() -> None:
    replicas = KnownReplicas("b.2", {"b.2": REPORT})
    assert find_holder(create_token(replicas), replicas) is None
    assert find_holder(create_token(None), replicas) is None


@pytest.mark.parametrize("known", [{}, {"b.2": replace(REPORT, is_draining=True)}])
def test_a_replica_that_is_gone_or_draining_holds_nothing(known: dict[str, ReplicaReport]) -> None:
    assert find_holder(create_token(KnownReplicas("b.2")), KnownReplicas("a", known)) is None
