"""What survives a broken connection: sessions, their contexts, and what waits to be sent."""
