"""`python -m duplex_tts` is `duplex-tts`."""

from duplex_tts.cli import app

app(prog_name="duplex-tts")
