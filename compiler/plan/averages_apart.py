"""Averages of tiles that do not ride along with the results, so that the array need not round filters up to a block."""

from __future__ import annotations

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.pooling import Pooling
from gatewright.compiler.plan.layout import slices_of
from gatewright.contract.arch import ArchConfig
from gatewright.contract.timing import ACCUMULATOR_LATENCY


def may_be_apart(layer: QuantisedConv, pool: Pooling, graph: QuantisedGraph) -> bool:
    """Whether nobody looks at the averages of tiles that a layer leaves out."""
    readers = [reader for reader in graph.layers if pool.name in reader.reads]
    gates = [reader for reader in readers if isinstance(reader, QuantisedAverageGate)]
    same = all(gate.input_tiles == layer.output_tiles for gate in gates) and len(gates) == len(readers)
    return layer.residual is None and (layer.output_tiles is None or same)


def apart(pixels: int, channels: int, filters: int, tiles: int, tile: int, arch: ArchConfig) -> bool:
    """Whether the array saves more cycles than the averages of ``tiles`` take EPILOGUE.

    With results the averages need filters that stand, of which a last block is as long as any. Else few filters stream
    past standing ``pixels``. A pixel has ``channels``, a tile ``tile`` pixels in both directions.
    """
    few = filters % arch.columns
    if not few:
        return False
    left = max(0.0, 1 - max(few, ACCUMULATOR_LATENCY) / arch.columns)
    return pixels * slices_of(channels, arch) * left > tiles * (tile * tile + 1) * -(-filters // arch.columns)
