"""Voices: learned from recordings, kept on disk and in memory."""
