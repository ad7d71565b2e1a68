"""Plays received audio on a device or writes it to a file."""
