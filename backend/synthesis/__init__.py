"""The bridge from the event loop to the engine threads."""
