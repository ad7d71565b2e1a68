"""The Duplex TTS server; see `docs/architecture.md`."""
