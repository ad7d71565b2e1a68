"""Several servers as one: each a replica of a Ray Serve deployment. Only here is ray imported."""
