"""The machine's memories, with one port for each user."""
