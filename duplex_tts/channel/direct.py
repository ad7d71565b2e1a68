"""A replica's own address: a server in a cluster offers it in `ready`, to do without a proxy.

What cannot be reached is remembered, and left alone for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from urllib.parse import urlencode, urlsplit

from duplex_tts.channel.websocket import Traffic, WebSocketConnection
from duplex_tts.errors import ClientError
from duplex_tts.events import Direct

OPEN_TIMEOUT_S = 3.0  # meanwhile the first connection speaks
RESUME_TIMEOUT_S = 1.0  # for an address that answered before, and for its answer to `resume`
AVOID_S = 600.0
_MOST_AVOIDED = 1_000
_SCHEMES = ("ws", "wss")


class AvoidedAddresses:
    """Addresses that could not be reached lately; shared by the sessions of a pool."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._until_s: dict[str, float] = {}  # the earliest first

    def __contains__(self, url: str) -> bool:
        return self._clock() < self._until_s.get(url, 0.0)

    def add(self, url: str) -> None:
        """Avoid this address for `AVOID_S`."""
        self._until_s.pop(url, None)
        if len(self._until_s) >= _MOST_AVOIDED:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[url] = self._clock() + AVOID_S


class DirectAccess:
    """Opens connections to the addresses that the server at `first_url` offers."""

    def __init__(
        self, first_url: str, key: str | None, traffic: Traffic, avoided: AvoidedAddresses
    ) -> None:
        self._is_secure = urlsplit(first_url).scheme == "wss"
        self._key = key
        self._traffic = traffic
        self._avoided = avoided

    def avoid(self, url: str) -> None:
        """Do not connect to this address for a while."""
        self._avoided.add(url)

    async def open_offered(self, offer: Direct) -> WebSocketConnection | None:
        """Connect with the ticket. Returns None if the address cannot be reached. Cancel-safe."""
        url = f"{offer.url}?{urlencode({'ticket': offer.ticket})}"
        return await self._open(offer.url, url, None, OPEN_TIMEOUT_S)

    async def open_again(self, url: str) -> WebSocketConnection | None:
        """Connect to an address that was used before. Otherwise as `open_offered`."""
        return await self._open(url, url, self._key, RESUME_TIMEOUT_S)

    async def _open(
        self, address: str, url: str, key: str | None, timeout_s: float
    ) -> WebSocketConnection | None:
        if address in self._avoided or not self._is_allowed(address):
            return None
        try:
            async with asyncio.timeout(timeout_s):
                return await WebSocketConnection.open_direct(address, url, key, self._traffic)
        except (ClientError, TimeoutError):
            self.avoid(address)
            return None

    def _is_allowed(self, url: str) -> bool:
        """Whether it is an address of a WebSocket, not less secure than the first."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        is_plain = parts.scheme == "ws"
        return parts.scheme in _SCHEMES and not (parts.query or (self._is_secure and is_plain))
