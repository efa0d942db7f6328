"""INDEX, register by register."""
