"""Everything that is exposed: the routes of each protocol, the pages, the status."""
