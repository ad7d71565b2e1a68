"""One peer's connection: access control, limits, reading and writing."""
