"""The checks: a module each, with `run(inputs)`, which yields findings. `catalogue` lists them."""
