"""The presets whose arrays differ. ``ultra96-lean`` is ``ultra96`` without DEPTHWISE: see ``test_golden``."""

from __future__ import annotations

from gatewright.contract.arch import PRESETS

SHAPES = tuple(name for name in PRESETS if name != "ultra96-lean")
