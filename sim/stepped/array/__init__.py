"""ARRAY, register by register."""
