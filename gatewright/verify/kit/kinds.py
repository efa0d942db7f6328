"""The kinds of random programs."""

from __future__ import annotations

LAYERS, CORNERS, IMAGES, TRAFFIC, ILLEGAL = KINDS = ("layers", "corners", "images", "traffic", "illegal")
"""Programs of the last kind must be refused; the others must run."""
