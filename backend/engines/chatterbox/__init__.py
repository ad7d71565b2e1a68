"""Chatterbox: speech tokens from a language model, sound from a flow and a vocoder, streamed."""
