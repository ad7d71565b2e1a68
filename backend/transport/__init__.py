"""One peer's wire: who may connect, and the bytes in and out."""
