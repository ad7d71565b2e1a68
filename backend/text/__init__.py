"""Decides which part of a growing text is spoken when. Pure: no clock, thread or socket."""
