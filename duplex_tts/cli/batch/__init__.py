"""`duplex-tts batch`: many texts to files."""
