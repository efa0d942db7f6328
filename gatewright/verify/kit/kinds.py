"""The kinds of random programs."""

from __future__ import annotations

LAYERS, CORNERS, WAITS, IMAGES, TRAFFIC, ILLEGAL = KINDS = (
    "layers",
    "corners",
    "waits",
    "images",
    "traffic",
    "illegal",
)
"""Programs of the last kind must be refused; the others must run."""
