"""Telephone bridges: speak through a `Session` into media streams of Twilio and Telnyx."""

from duplex_tts.heard import Heard
from duplex_tts.telephony.bridge import Bridge, Options
from duplex_tts.telephony.call import Call
from duplex_tts.telephony.credentials import Credentials
from duplex_tts.telephony.errors import BadCredentials, CallEnded, TelephonyError, UnsupportedCodec
from duplex_tts.telephony.media_stream import CallStats

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
