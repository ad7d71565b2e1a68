"""The Duplex TTS server. `docs/architecture.md` shows the way from a character to sound."""
