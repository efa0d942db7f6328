"""Gatewright: hardware/software co-design for dynamically gated convolutional networks."""

__version__ = "0.1.0"
