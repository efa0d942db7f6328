"""The machine's memories and their ports."""
