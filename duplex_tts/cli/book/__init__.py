"""`duplex-tts book`: audiobooks."""
