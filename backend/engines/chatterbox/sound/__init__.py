"""Sound from speech tokens: flow, vocoder, silences, watermark."""
