"""GATHER, register by register."""
