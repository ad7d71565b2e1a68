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

from duplex_tts.telephony.errors import BadCredentials

TWILIO_HEADER = "x-twilio-signature"
TELNYX_HEADER = "x-telnyx-streaming-auth-token"
SHORTEST = 16  # characters of a secret; the carriers' own have 32


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
    """What carriers must show. One whose secret is None does not get in.

    `twilio_auth_token`: the account's; Twilio signs the URL of the stream with it.
    `telnyx_auth_token`: what you give Telnyx as `stream_auth_token`.
    `public_url`: what carriers call this bridge ("wss://voice.example.com"), as Twilio signed it;
    None: as the handshake's `Host` says, over TLS.

    Raises `BadCredentials` for secrets that keep nobody out: none at all, empty or short ones.
    """

    twilio_auth_token: str | None = field(default=None, repr=False)
    telnyx_auth_token: str | None = field(default=None, repr=False)
    public_url: str | None = None

    def __post_init__(self) -> None:
        secrets = {
            "twilio_auth_token": self.twilio_auth_token,
            "telnyx_auth_token": self.telnyx_auth_token,
        }
        given = {name: secret for name, secret in secrets.items() if secret is not None}
        if not given:
            raise BadCredentials(
                f"no secret is given, so nobody could call: set {' or '.join(secrets)} (is the "
                "environment variable that it comes from set?)"
            )
        for name, secret in given.items():
            _check(name, secret)

    def accept(self, handshake: Handshake) -> bool:
        """Whether the handshake is that of the carrier in its path."""
        if handshake.carrier == "twilio":
            return self.twilio_auth_token is not None and self._signed(handshake)
        expected = self.telnyx_auth_token
        return expected is not None and _same(handshake.headers.get(TELNYX_HEADER, ""), expected)

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


def _check(name: str, secret: object) -> None:
    if not isinstance(secret, str):
        raise BadCredentials(f"{name} is no string but {type(secret).__name__}")
    # The secret itself stays out of the message.
    if secret != secret.strip() or not secret.isprintable():
        raise BadCredentials(
            f"{name} has spaces or line ends around it, or is nothing else: strip them"
        )
    if len(secret) < SHORTEST:
        raise BadCredentials(
            f"{name} is {'empty' if not secret else 'too short'}: whoever guesses it can call. "
            "Twilio's is in its console; for Telnyx make one of at least "
            f'{SHORTEST} characters: python -c "import secrets; print(secrets.token_urlsafe())"'
        )


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
