"""STORE, register by register."""
