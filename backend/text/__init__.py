"""What is spoken of a text that grows, and when. Plain: no clock, thread or socket."""
