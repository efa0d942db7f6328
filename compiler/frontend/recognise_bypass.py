"""Recognise m f + (1 - m) x, where f is x plus a convolution's output: where a gate is off x stands as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import fx

from gatewright.compiler.frontend import recognise_gates, recognise_joins
from gatewright.compiler.frontend.logit_patterns import Mask
from gatewright.compiler.frontend.patterns import Chosen, FeatureMap, OpenConv, Value, describe
from gatewright.compiler.frontend.walk import Walk

_FORM = "supported is m * f + (1 - m) * x, where f is x plus a convolution's output, with its activation, and m a mask"


def multiply(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """A map times a gate's mask: a part of such a sum, or a convolution's output that is masked."""
    operands = args["self"], args["other"]
    if isinstance(walk.value(operands[0]), Mask):
        operands = operands[1], operands[0]
    value, mask = walk.value(operands[0]), walk.value(operands[1])
    if isinstance(mask, Mask) and isinstance(value, FeatureMap | OpenConv) and _stands(walk, value):
        if isinstance(value, OpenConv) and value not in walk.written:
            walk.extend(value)
        return Chosen(value, mask, tuple(operands[1].meta["val"].shape))
    return recognise_gates.multiply(walk, node, args)


def _stands(walk: Walk, value: FeatureMap | OpenConv) -> bool:
    """Whether a map is complete: it is written, or a sum."""
    return isinstance(value, FeatureMap) or value in walk.written or value.residual is not None


def add(walk: Walk, node: fx.Node, args: dict[str, Any]) -> Value:
    """The sum of two such parts, or a residual's."""
    left, right = walk.value(args["self"]), walk.value(args["other"])
    if not isinstance(left, Chosen) and not isinstance(right, Chosen):
        return recognise_joins.add(walk, node, args)
    if not isinstance(left, Chosen) or not isinstance(right, Chosen) or args.get("alpha", 1) != 1:
        walk.fail(f"it adds {describe(left)} and {describe(right)}; {_FORM}")
    if not left.mask.is_opposite(right.mask):
        walk.fail(f"it adds {describe(left)} and {describe(right)}, and the masks are not m and 1 - m; {_FORM}")
    for (computed, kept), operand in (((left, right), args["self"]), ((right, left), args["other"])):
        if isinstance(computed.value, OpenConv) and computed.value.residual == _written(walk, kept.value):
            return _either(walk, computed.value, computed, tuple(operand.meta["val"].shape))
    walk.fail(f"it adds {describe(left)} and {describe(right)}, of which neither is added to make the other; {_FORM}")


def _written(walk: Walk, value: FeatureMap | OpenConv) -> str:
    return value.tensor if isinstance(value, FeatureMap) else walk.written.get(value, value.name)


def _either(walk: Walk, total: OpenConv, chosen: Chosen, shape: tuple[int, ...]) -> OpenConv:
    """A sum where a mask is on, its residual where it is off."""
    kind, gate = recognise_gates.gate_of(walk, chosen.mask, shape, chosen.mask_shape)
    if kind != "output_tiles":
        walk.fail(f"gate {gate} decides about channels; {_FORM} of tiles, or of the whole map")
    if total.output_tiles not in (None, gate) or total.upsample:
        walk.fail(f"{describe(total)} is masked by {total.output_tiles} as well, or adds a coarser map; {_FORM}")
    return replace(total, output_tiles=gate, bypass=total.relu)
