"""What a machine takes of a chip: multipliers and block memories counted, tables and registers by a fitted model."""

from __future__ import annotations

from gatewright.explore.area.model import Accuracy, accuracy, estimate

__all__ = ["Accuracy", "accuracy", "estimate"]
