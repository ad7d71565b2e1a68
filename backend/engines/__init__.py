"""Engines: text to PCM. `base` is the contract; nobody above knows which one speaks."""
