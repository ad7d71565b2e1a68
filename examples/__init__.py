"""Programs that show how to use the server, its client and its engine contract."""
