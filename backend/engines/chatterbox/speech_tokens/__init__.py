"""Speech tokens: drawn by the language model, watched, and placed in time."""
