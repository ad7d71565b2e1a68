"""The server's figures against its goals."""
