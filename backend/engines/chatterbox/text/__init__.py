"""Text as the models take it: split into passages, and as tokens."""
