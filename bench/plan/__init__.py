"""`duplex-tts plan`: how many replicas a number of listeners needs, by simulation."""
