"""About the cycles of a pass over maps in DRAM: a model by which the compiler chooses its steps."""

from __future__ import annotations

from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.filters import RESIDENT_SHARE
from gatewright.contract.arch import BEAT_BYTES, ArchConfig

STEP_CYCLES = 200
"""About what a step costs beside its work."""


def comes_again(layer: QuantisedConv, arch: ArchConfig) -> bool:
    """Whether a convolution's filters are streamed: they come from DRAM in each step."""
    resident, of = RESIDENT_SHARE
    return layer.weight.size > arch.weight_words * arch.rows * resident // of


def dram_cycles(size: float, arch: ArchConfig) -> float:
    """Cycles of the bus for so many bytes."""
    return size * arch.dram.per_cycles / arch.dram.beats / BEAT_BYTES


def pass_cycles(
    work: float, filters: float, moved: float, steps: int, ahead: bool, arch: ArchConfig, early: float = 0.0
) -> float:
    """The array's cycles, or those of what comes from DRAM and goes there, if these are more.

    Parameters
    ----------
    work
        Cycles of the array.
    filters, moved
        Bytes of filters that are streamed, in all steps, and of rows of maps.
    ahead
        Whether rows come while others are computed; if not, the share ``early`` of them does.
    """
    filters, moved = dram_cycles(filters, arch), dram_cycles(moved, arch)
    if ahead:
        return max(work, filters + moved) + moved / steps + steps * STEP_CYCLES
    return max(work, filters) + moved * (1 - early) + steps * STEP_CYCLES
