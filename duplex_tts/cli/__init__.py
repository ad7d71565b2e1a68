"""The command line: one module per command of `duplex-tts`, and what they share."""
