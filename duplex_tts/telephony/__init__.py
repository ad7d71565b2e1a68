"""Telephone bridges: media streams of Twilio and Telnyx, spoken to through a `Session`."""

from duplex_tts.telephony.bridge import Bridge, Options
from duplex_tts.telephony.call import Call, Heard
from duplex_tts.telephony.credentials import Credentials
from duplex_tts.telephony.errors import BadCredentials, CallEnded, TelephonyError, UnsupportedCodec
from duplex_tts.telephony.line import CallStats

__all__ = [
    "BadCredentials",
    "Bridge",
    "Call",
    "CallEnded",
    "CallStats",
    "Credentials",
    "Heard",
    "Options",
    "TelephonyError",
    "UnsupportedCodec",
]
