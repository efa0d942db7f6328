"""What a live program cannot do yet: where the compiler needs to know what the gates of an image say."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.contract.arch import OPERAND_BANKS
from gatewright.contract.errors import GatewrightError


def check_live(image: NetworkImage) -> None:
    """Raise a ``GatewrightError`` that names the first layer that stands in the way of a live program."""
    for name, why in _obstacles(image):
        raise GatewrightError(
            f"layer {name}: {why}; a live program of it is not possible on arch {image.arch.name} yet: compile the "
            "network for each image, or take a machine with larger buffers"
        )


def _obstacles(image: NetworkImage) -> Iterator[tuple[str, str]]:
    """(layer, what of it a live program would need to know)."""
    whole = {layer.name for layer in image.graph.layers if isinstance(layer, QuantisedAverageGate) and layer.whole}
    in_turn = {*image.by_channels, *(layer.name for block in image.blocks for layer in block.layers)}
    for layer in image.graph.layers:
        if not isinstance(layer, QuantisedConv) or not layer.gates:
            continue
        if layer.input_tiles in whole - {layer.output_tiles}:
            yield layer.name, "it reads a map that a gate leaves out whole, and is not left out with it"
        if layer.groups > 1 and not image.in_epilogue(layer):
            yield layer.name, "it is a grouped convolution under a gate, and none that EPILOGUE computes (DEPTHWISE)"
        if layer.name in in_turn or {layer.source, layer.output} & image.apart:
            yield layer.name, "a gate picks its tiles or channels, and its maps fit the scratchpad in no way"
        bank = image.banks[layer.name]
        if bank.picked:
            unit = OPERAND_BANKS * image.arch.rows
            why = (
                "gates pick its filters and its channels, the weight buffer does not hold its filters, and they cannot "
            )
            why += f"come tap by tap (channels no multiple of {unit}, or the accumulators do not hold a tile)"
            yield layer.name, why
        if bank.returns and not bank.by_taps:
            yield layer.name, "a gate picks its tiles, and the weight buffer does not hold a block of its filters"
