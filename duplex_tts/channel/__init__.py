"""Channels: carry one session over many WebSockets, or over HTTP. Resuming is in `resuming`."""
