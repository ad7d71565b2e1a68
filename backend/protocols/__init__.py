"""Wire protocols: sans-I/O translators between vendors' messages and events."""
