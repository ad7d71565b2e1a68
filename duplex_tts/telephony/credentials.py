"""Authenticates carriers: Twilio signs its handshake, Telnyx sends the token set for the stream.

Without credentials anyone who finds the address can call.
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
MIN_SECRET_LENGTH = 16  # characters; the carriers' own secrets have 32


@dataclass(frozen=True, slots=True)
class Handshake:
    """A request to connect: its path, and its headers by lower-case names."""

    path: str
    headers: Mapping[str, str]

    @property
    def carrier(self) -> str:
        """The claimed carrier: the last part of the path."""
        return self.path.partition("?")[0].rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class HandshakeRefusal:
    """The HTTP error that answers a handshake."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """The carriers' secrets. A carrier without a secret is refused.

    `twilio_auth_token`: the account's; Twilio signs the stream's URL with it.
    `telnyx_auth_token`: what you give Telnyx as `stream_auth_token`.
    `public_url`: this bridge's URL for carriers ("wss://voice.example.com"), which Twilio signs;
    None: from the handshake's `Host`, over TLS.

    Raises `BadCredentials` if no secret is given, or one is empty or too short.
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
                f"no secret is given, so every call would be refused: set {' or '.join(secrets)} "
                "(is its environment variable set?)"
            )
        for name, secret in given.items():
            _check_secret(name, secret)

    def accept(self, handshake: Handshake) -> bool:
        """Whether the handshake comes from the carrier in its path."""
        if handshake.carrier == "twilio":
            return self.twilio_auth_token is not None and self._is_signed(handshake)
        expected = self.telnyx_auth_token
        return expected is not None and _is_equal(
            handshake.headers.get(TELNYX_HEADER, ""), expected
        )

    def _is_signed(self, handshake: Handshake) -> bool:
        base = self.public_url or f"wss://{handshake.headers.get('host', '')}"
        url = base.rstrip("/") + handshake.path
        # Twilio may sign it with or without a trailing slash.
        urls = (url, url.rstrip("/"), url.rstrip("/") + "/")
        given = handshake.headers.get(TWILIO_HEADER, "")
        return any(_is_equal(given, sign_twilio_url(self.twilio_auth_token or "", u)) for u in urls)


def sign_twilio_url(auth_token: str, url: str) -> str:
    """`X-Twilio-Signature` of a request without a body: HMAC-SHA1 of its URL, in base64.

    https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def _check_secret(name: str, secret: object) -> None:
    if not isinstance(secret, str):
        raise BadCredentials(f"{name} must be a string, not {type(secret).__name__}")
    # Never put the secret into the message.
    if secret != secret.strip() or not secret.isprintable():
        raise BadCredentials(
            f"{name} has spaces, line ends or control characters in or around it: strip them"
        )
    if len(secret) < MIN_SECRET_LENGTH:
        raise BadCredentials(
            f"{name} is {'empty' if not secret else 'too short'}: it could be guessed. "
            f"Twilio's is in its console; for Telnyx make one of {MIN_SECRET_LENGTH} or more "
            'characters: python -c "import secrets; print(secrets.token_urlsafe())"'
        )


def _is_equal(given: str, expected: str) -> bool:
    """A constant-time comparison."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
