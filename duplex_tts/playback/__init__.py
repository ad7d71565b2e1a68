"""From received audio to a loudspeaker or a file."""
