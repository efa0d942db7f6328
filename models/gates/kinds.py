"""Which gates a network has."""

from __future__ import annotations

from typing import Literal

Gating = Literal["none", "dual", "spatial", "channel"]
"""``dual`` is spatial and channel gates in every block (DGNet)."""
