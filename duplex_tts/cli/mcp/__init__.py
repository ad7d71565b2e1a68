"""`duplex-tts mcp`: tools of coding agents."""
