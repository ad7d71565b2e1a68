"""Several servers behind one address, measured against one (docs/cluster.md)."""
