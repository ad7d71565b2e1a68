"""Engines: text to PCM. `base` is the contract; nothing above this package knows which one speaks."""
