"""How soon a screen reader is heard through Speech Dispatcher."""
