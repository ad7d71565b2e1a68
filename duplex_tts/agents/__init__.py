"""What the plugins for voice-agent frameworks share: one kept session, speeches, what was heard."""
