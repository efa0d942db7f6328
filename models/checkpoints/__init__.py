"""Checkpoints: our own files, and those of public releases, read without executing anything in them."""
