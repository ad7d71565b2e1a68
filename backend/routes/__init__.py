"""The HTTP and WebSocket routes of the protocols; what a message means is in `protocols`."""
