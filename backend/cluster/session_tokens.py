"""A session's token says which replica holds the session: `random.replica`.

Without a cluster a token is only random. The replica's name is no secret and proves nothing: it is
looked up among the living replicas, and the whole token is compared by the holder.
"""

from __future__ import annotations

import secrets

from backend.cluster.replicas import ReplicaReport, Replicas

_RANDOM_BYTES = 24


def create_token(replicas: Replicas | None) -> str:
    """Create the token of a session that this replica holds."""
    token = secrets.token_urlsafe(_RANDOM_BYTES)  # has no "."
    return token if replicas is None else f"{token}.{replicas.own_id}"


def find_holder(token: str, replicas: Replicas | None) -> ReplicaReport | None:
    """The other replica that holds the session; None if this one does, or if it cannot be resumed
    there: the replica is unknown, gone or draining. Does not block.
    """
    replica_id = token.partition(".")[2]
    if replicas is None or replica_id in ("", replicas.own_id):
        return None
    holder = replicas.find(replica_id)
    return None if holder is None or holder.is_draining else holder
