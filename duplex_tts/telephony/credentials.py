"""Whether it is the carrier who connects.

Twilio signs its handshake, Telnyx brings the token that it was given with the stream. Whoever
listens without either speaks to everybody who finds the address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

TWILIO_HEADER = "x-twilio-signature"
TELNYX_HEADER = "x-telnyx-streaming-auth-token"


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request to connect: its path, and its headers by lower-case names."""

    path: str
    headers: Mapping[str, str]

    @property
    def carrier(self) -> str:
        """The last part of the path: who says to be connecting."""
        return self.path.partition("?")[0].rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A handshake that is answered with an HTTP error."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a carrier must show; None: anybody may connect as this carrier.

    `twilio_auth_token`: the account's; Twilio signs the URL of the stream with it.
    `telnyx_auth_token`: what you give Telnyx as `stream_auth_token`.
    `public_url`: what carriers call this bridge ("wss://voice.example.com"), as Twilio signed it;
    None: as the handshake's `Host` says, over TLS.
    """

    twilio_auth_token: str | None = field(default=None, repr=False)
    telnyx_auth_token: str | None = field(default=None, repr=False)
    public_url: str | None = None

    def needed(self, carrier: str) -> bool:
        """Whether this carrier must show something."""
        token = self.twilio_auth_token if carrier == "twilio" else self.telnyx_auth_token
        return token is not None

    def accept(self, handshake: Handshake) -> bool:
        """Whether the handshake is that of the carrier in its path."""
        if not self.needed(handshake.carrier):
            return True
        if handshake.carrier == "twilio":
            return self._signed(handshake)
        return _same(handshake.headers.get(TELNYX_HEADER, ""), self.telnyx_auth_token or "")

    def _signed(self, handshake: Handshake) -> bool:
        base = self.public_url or f"wss://{handshake.headers.get('host', '')}"
        url = base.rstrip("/") + handshake.path
        # Seen with and without the slash that the stream's URL does not have.
        urls = (url, url.rstrip("/"), url.rstrip("/") + "/")
        given = handshake.headers.get(TWILIO_HEADER, "")
        return any(_same(given, twilio_signature(self.twilio_auth_token or "", u)) for u in urls)


def twilio_signature(auth_token: str, url: str) -> str:
    """`X-Twilio-Signature` of a request without a body: HMAC-SHA1 of its URL, in base64.

    https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
