"""Of maps of which only some rows are on chip at a time: how many their rings hold, and how many must be kept."""

from __future__ import annotations

from gatewright.compiler.plan.bands import needed_rows
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.spills import rows_in_beats


def ring_rows(image: NetworkImage, tensor: str, pitch: int) -> int | None:
    """Rows of ``pitch`` bytes that a map's ring holds; None if the map is whole. The input's are whole beats."""
    if tensor in image.spilled:
        return image.spilled[tensor].ring
    if tensor not in image.ring_bytes:
        return None
    unit = rows_in_beats(pitch) if tensor == image.graph.input else 1
    return min(image.graph.shapes[tensor].height, image.ring_bytes[tensor] // pitch // unit * unit)


def kept_rows(image: NetworkImage, tensor: str) -> int:
    """Rows of a map in a ring that must be kept."""
    if tensor in image.spilled:
        return 0
    for block in image.blocks:
        if block.middle == tensor:
            return block.kept_rows(image.graph, block.units[-1])
    for chain in image.chains:
        if tensor in chain.kept_rows:
            return chain.kept_rows[tensor]
        if tensor == chain.layers[0].source == image.graph.input:
            return chain.image_ring(rows_in_beats(image.input_pitch))
    (pooled,) = image.pooled
    if tensor == image.graph.input:
        return pooled.image_rows(image.graph, rows_in_beats(image.input_pitch))
    return pooled.kept_rows(image.graph)


def first_image_rows(image: NetworkImage) -> int:
    """Rows of the image that the first band needs."""
    for chain in image.chains:
        if chain.layers[0].source == image.graph.input:
            return chain.image_rows(0)
    pooled = image.pooled[0]
    return needed_rows(pooled.convolution, next(pooled.steps(image.graph)).middle).end
