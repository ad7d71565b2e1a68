"""From PCM samples to the bytes that a client asked for. Plain."""
