"""State that outlives a connection: sessions, their contexts, and events queued for the client."""
