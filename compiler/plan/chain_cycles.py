"""About how long a chain takes: what its order and the rows that it makes together are chosen by."""

from __future__ import annotations

from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.bands import Rows
from gatewright.compiler.plan.chains import Chain
from gatewright.compiler.plan.channel_blocks import blocks_of, kept_filters
from gatewright.compiler.plan.depthwise import row_cycles, suitable_edge
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.side_by_side import Order
from gatewright.contract.arch import ArchConfig
from gatewright.contract.encodings import DEPTHWISE_PARTS
from gatewright.contract.timing import DEPTHWISE_LEAD, EPILOGUE_LATENCY, array_latency

START = 1000
"""Cycles until the array's work of a phase is under way, and its results are there."""


def chain_cycles(chain: Chain, arch: ArchConfig) -> int:
    """Of all steps: the unit that is held longer, or of layers in turn both for each."""
    if chain.order == Order.BY_CHANNELS:
        return _by_channels(chain, arch)
    total = 0
    for step in chain.steps:
        held = [_cycles(chain, layer, rows, arch) for layer, rows in step]
        if chain.order == Order.IN_TURN:
            total += sum(max(array, epilogue) + array_latency(arch.rows, arch.columns) for array, epilogue in held)
        else:
            made = {layer.output for layer, _ in step}
            waits = sum(layer.source in made and layer.groups == 1 for layer, _ in step) if len(held) > 1 else 0
            total += max(sum(array for array, _ in held) + START, sum(epilogue for _, epilogue in held)) + waits * START
    return total


def _by_channels(chain: Chain, arch: ArchConfig) -> int:
    """Block by block of channels; the last blocks, which nothing is beside, and the results."""
    every = [(layer, Rows(0, chain.graph.shapes[layer.output].height)) for layer in chain.layers]
    (expand, written), (_, depthwise), (project, stored) = (_cycles(chain, *one, arch) for one in every)
    blocks, banks = blocks_of(chain.layers, arch), len(kept_filters(chain.layers[-1], chain.graph, arch))
    steady = max(expand + project, written + depthwise)
    return steady + (written + depthwise + project) // blocks + stored // banks


def _cycles(chain: Chain, layer: QuantisedConv, rows: Rows, arch: ArchConfig) -> tuple[int, int]:
    """Of the array and of EPILOGUE, for some rows of a layer."""
    shape, filters = chain.graph.shapes[layer.output], len(layer.weight)
    blocks, count = -(-filters // arch.columns), rows.end - rows.first
    pixels = count * shape.width
    if layer.name in chain.in_epilogue:
        shared = chain.share.get(layer.name, 0) // arch.columns
        edge = suitable_edge(layer, shape.height, shape.width)
        tiles = -(-shape.width // edge) * ((rows.end - 1) // edge - rows.first // edge + 1)
        work = -(-shape.width // edge) * count * row_cycles(layer, edge)
        setup = DEPTHWISE_PARTS * arch.columns + (DEPTHWISE_LEAD + EPILOGUE_LATENCY) / 2
        stored = shared * (pixels + arch.columns) + EPILOGUE_LATENCY if shared else 0
        return shared * layer.weight[0].size * pixels, int((blocks - shared) * (work + tiles * setup)) + stored
    slices = slices_of(layer.weight[0].size, arch)
    chunks = -(-pixels // max(1, min(arch.accumulator_depth, arch.patch_words // (3 * slices))))
    written = pixels * (1 + (layer.residual is not None)) + chunks * (arch.columns + EPILOGUE_LATENCY)
    return blocks * slices * pixels, blocks * written
