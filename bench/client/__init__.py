"""The client library's figures against its goals."""
