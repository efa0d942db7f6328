"""The fast simulator: exact values and exact cycles, from the closed forms of ``docs/architecture.md``."""
