"""Engines: text to PCM. `base` is the contract; the layers above depend on nothing else."""
