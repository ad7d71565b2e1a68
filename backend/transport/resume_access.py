"""Who may resume a session on a connection that has no session of its own.

Another replica (with the cluster's key, for one of its clients), a client with a ticket, or one
with an API key. What is resumed is proved by the session's token, which no web page of another site
knows.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass

from starlette.websockets import WebSocket

from backend.cluster.holder_connection import OWNER_HEADER, decode_owner, websocket_url
from backend.cluster.tickets import Tickets
from backend.errors import BadTicket, ResumeFailed, Unauthorized
from backend.events import Direct, Resume
from backend.sessions.services import Services
from backend.transport.auth import Access, bearer_key
from backend.transport.websocket import WebSocketConnection

_RESUME_TIMEOUT_S = 5.0  # from the handshake


def understands_direct(websocket: WebSocket) -> bool:
    """Whether the client says that it understands an offer of the replica's own address."""
    return websocket.query_params.get("direct") == "1"


def announces_resume(websocket: WebSocket) -> bool:
    """Whether the client says that its first message will be `resume`."""
    return websocket.query_params.get("resume") == "1"


async def receive_resume(connection: WebSocketConnection) -> Resume:
    """Wait for the first message. Raises `DuplexError` if it is not `resume`, `PeerGone`."""
    try:
        async with asyncio.timeout(_RESUME_TIMEOUT_S):
            content = await connection.receive_message(busy=lambda: True)
    except TimeoutError:
        raise ResumeFailed(f"no `resume` within {_RESUME_TIMEOUT_S:g} s") from None
    connection.is_silent = False
    commands = connection.protocol.decode(content)
    if len(commands) != 1 or not isinstance(commands[0], Resume):
        raise ResumeFailed("this address only resumes sessions; open new ones at /ws/tts")
    return commands[0]


@dataclass(frozen=True, slots=True)
class Caller:
    """The credentials of a handshake. `owner`: of the client for which a replica calls."""

    key: str | None
    ticket: str | None
    owner: str | None
    understands_direct: bool

    @classmethod
    def from_handshake(cls, websocket: WebSocket) -> Caller:
        """Read the headers and the query; browsers cannot set headers on a WebSocket."""
        headers, query = websocket.headers, websocket.query_params
        owner = headers.get(OWNER_HEADER)
        return cls(
            bearer_key(headers) or query.get("key"),
            query.get("ticket"),
            None if owner is None else decode_owner(owner),
            understands_direct(websocket),
        )


class ResumeAccess:
    """Issues tickets and checks callers."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services = services
        self._access = access
        self._tickets = Tickets(services.clock)

    def authorize(self, caller: Caller) -> str:
        """Return the owner of the session to be resumed.

        Raises `BadTicket`, `Unauthorized`, `Overloaded`.
        """
        if caller.ticket is not None:
            owner = self._tickets.redeem(caller.ticket)
            if owner is None:
                raise BadTicket("unknown, used or expired; connect to the first address again")
            return owner
        if caller.owner is not None:
            if not self._is_cluster_key(caller.key):
                raise Unauthorized("only replicas of this cluster may name an owner")
            return caller.owner
        self._services.client_slots.check_free()
        return self._access.authorize(caller.key)

    def create_offer(self, owner: str) -> Direct | None:
        """Offer this replica's own address; None where that is off or not known."""
        replicas = self._services.replicas
        if replicas is None or not replicas.offers_direct:
            return None
        own = replicas.find(replicas.own_id)
        return None if own is None else Direct(websocket_url(own.url), self._tickets.issue(owner))

    def _is_cluster_key(self, key: str | None) -> bool:
        replicas = self._services.replicas
        if replicas is None or not replicas.cluster_key or not key:
            return False
        return hmac.compare_digest(
            key.encode(errors="surrogateescape"), replicas.cluster_key.encode()
        )
