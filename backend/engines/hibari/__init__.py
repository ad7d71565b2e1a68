"""The embedded engine: `hibari-tts`, English, weights in the package, any CPU."""
