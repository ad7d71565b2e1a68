"""The reading of text: from what was written to what is said, for all engines.

`sentence_reader` reads a growing sentence; the rules of a language are in a folder of its own
(`english`).
"""
