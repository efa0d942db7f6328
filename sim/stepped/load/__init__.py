"""LOAD, register by register."""
