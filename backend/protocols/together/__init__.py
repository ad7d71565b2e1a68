"""Together's text-to-speech API, over WebSocket and HTTP."""
