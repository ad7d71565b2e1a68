"""Several server processes as one: what each knows of the others. No Ray here."""
