"""The server speaks while the text is still being written; this is its client and command line."""
