"""Benchmark of the Chatterbox engine without a server, with real or random weights."""
