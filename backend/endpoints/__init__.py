"""The server's endpoints: each protocol's routes, the pages, the status."""
