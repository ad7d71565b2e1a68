"""Errors of the telephone bridges."""

from __future__ import annotations

from duplex_tts.errors import ClientError


class TelephonyError(ClientError):
    """The base of all errors of the telephone bridges."""


class CallEnded(TelephonyError):
    """The call is over: the caller hung up, the carrier left, or the bridge was closed."""


class BadCredentials(TelephonyError):
    """A secret too weak to protect the bridge; the message says what to give instead."""

    code = "bad_credentials"


class BadCarrierMessage(TelephonyError):
    """Not a valid message of this carrier's media stream."""


class UnsupportedCodec(TelephonyError):
    """The stream's codec is not supported; the message lists those that are."""
