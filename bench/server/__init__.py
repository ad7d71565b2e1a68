"""Benchmark rows of the server."""
