"""Chatterbox: a language model draws speech tokens, a flow and a vocoder render them, streamed."""
