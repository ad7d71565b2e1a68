"""`duplex-tts mcp`: speech as tools of the Model Context Protocol, for coding agents."""
