"""What can go wrong on a telephone call."""

from __future__ import annotations

from duplex_tts.errors import ClientError


class TelephonyError(ClientError):
    """The base of all errors of the telephone bridges."""


class CallEnded(TelephonyError):
    """The call is over: the caller hung up, the carrier left, or the bridge was closed."""


class BadCredentials(TelephonyError):
    """A secret that would keep nobody out; the message says what to give instead."""

    code = "bad_credentials"


class BadCarrierMessage(TelephonyError):
    """What came is no message of this carrier's media stream."""


class UnsupportedCodec(TelephonyError):
    """The stream carries a codec that is not spoken here; the message says which are."""
