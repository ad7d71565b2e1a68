"""One session with the server, over as many sockets as it takes."""
