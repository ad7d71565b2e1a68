"""What engines share that speak a sentence in rows of phonemes while it is still being written."""
