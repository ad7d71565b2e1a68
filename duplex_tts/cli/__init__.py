"""The commands of `duplex-tts`."""
