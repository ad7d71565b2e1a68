"""Piper's voices (VITS, one ONNX file each): many languages, any CPU, phonemes by espeak-ng."""
