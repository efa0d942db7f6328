"""ARRAY: the systolic grid, and what feeds and drains it."""
