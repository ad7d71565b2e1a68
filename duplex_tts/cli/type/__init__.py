"""`duplex-tts type`: speaks while you type."""
