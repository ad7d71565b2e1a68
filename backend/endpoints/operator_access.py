"""Access rights of the routes that show figures and end sessions."""

from __future__ import annotations

import hmac

from fastapi import HTTPException, Request

from backend.cluster.replicas import Replicas
from backend.errors import Unauthorized
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key, is_loopback
from backend.transport.origins import hostname
from backend.websocket_manager import WebSocketManager


def get_replicas(request: Request) -> Replicas | None:
    """The replicas of the cluster; None for a server alone."""
    services: Services = request.app.state.services
    return services.replicas


def is_replica(request: Request) -> bool:
    """Whether another replica asks."""
    replicas, key = get_replicas(request), bearer_key(request.headers)
    if replicas is None or not replicas.cluster_key or key is None:
        return False
    return hmac.compare_digest(key.encode(errors="surrogateescape"), replicas.cluster_key.encode())


def authorize(request: Request, access: Access) -> None:
    """Let a replica and an owner of a key pass. Raises `HTTPException` 401."""
    if is_replica(request):
        return
    try:
        access.authorize(bearer_key(request.headers))
    except Unauthorized as error:
        raise HTTPException(401, error.message, {"WWW-Authenticate": "Bearer"}) from error


def is_operator(request: Request, access: Access) -> bool:
    """Whether the request has an admin's key, is another replica's or, if no keys are set, whether
    it comes from this machine and not from a foreign page in its browser.

    Without keys the peer and the `Host` must be loopback (a foreign name that resolves to this
    machine is not), and the `Origin`, if present, must be the server's: a foreign page cannot make
    the operator's browser end a session.
    """
    if is_replica(request):
        return True
    if access.requires_key:
        return access.is_admin_key(bearer_key(request.headers))
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    return (
        request.client is not None
        and is_loopback(request.client.host)
        and is_loopback(hostname(host))
        and (origin is None or origin == f"{request.url.scheme}://{host}")
    )


def get_connections(request: Request) -> WebSocketManager:
    """The application's."""
    connections = request.app.state.connections
    assert isinstance(connections, WebSocketManager)
    return connections
