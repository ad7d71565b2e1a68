"""The embedded voice: `hibari-tts`, English, weights in the package, any CPU."""
