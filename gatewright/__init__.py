"""Gatewright: hardware/software co-design for dynamically gated convolutional networks."""

__version__ = "0.1.0"
"""Of the package; the one place that says it (pyproject.toml reads it here)."""
