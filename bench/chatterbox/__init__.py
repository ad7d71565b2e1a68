"""Chatterbox by itself, with real or random weights."""
