"""PCM samples to the bytes of a requested format. No I/O."""
