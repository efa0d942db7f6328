"""QuantizeLinear and DequantizeLinear: the scales of a quantised file, in the program beside what they are of.

A map's become ``fake_quantize``, from which the compiler takes its range in place of a measured one; so do weights'.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.model import Array, Node, Unit

REQUANTISE = (
    "quantize_static(..., activation_type=QuantType.QInt8, extra_options={'ActivationSymmetric': True, "
    "'WeightSymmetric': True}) writes such a file"
)


def quantize(build: Builder, node: Node) -> None:
    """QuantizeLinear of a map: from here on values are rounded."""
    build.value(node, 0)
    scale, zero, bits = _scale(build, node, None)
    if build.as_float:
        _activation(build, node, scale, zero)
        return
    if scale.size != 1:
        build.fail(node, f"it has {scale.size} scales for a map; the machine has one for each map: quantise per tensor")
    if bits != 8 or zero.size != 1:
        build.fail(node, f"it quantises to {bits} bits; the machine's maps are int8")
    unit, offset = float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0])
    if not (np.isfinite(unit) and unit > 0):
        build.fail(node, f"its scale is {unit:g}; a scale is positive")
    if offset not in (0, -128):
        if not build.symmetric:
            build.fail(
                node,
                f"its zero point is {offset} in int8 (scale {unit:g}, so from {(-128 - offset) * unit:.4g} to "
                f"{(127 - offset) * unit:.4g}); the machine's maps are symmetric, or from 0 on: {REQUANTISE}. Or take "
                "the symmetric range that holds it, in coarser steps: --symmetric. Or drop the file's scales, and "
                "calibrate: --float",
            )
        unit = unit * max(128 + offset, 127 - offset) / 127
        build.coarser.append(node.reads[0])
        offset = 0
    build.scales[node.writes[0]] = (scale, zero)
    if offset == -128:
        build.positive.add(node.writes[0])
    build.apply(node, lambda x: torch.fake_quantize_per_tensor_affine(x, unit, offset, -128, 127))


def _activation(build: Builder, node: Node, scale: Array, zero: Array) -> None:
    """What is left of a QuantizeLinear without its rounding: tools leave a ReLU, or ReLU6, out before one from 0 on."""
    maker = build.operations.get(build.named(node.reads[0]))
    if not (zero == -128).all() or scale.size != 1 or maker not in ("Conv", "Add", "BatchNormalization"):
        build.same(node)
    elif maker == "Add":
        build.apply(node, F.relu)
    else:
        most = 255 * float(scale.reshape(-1)[0])
        build.apply(node, lambda x: torch.clamp(x, 0, most))


def dequantize(build: Builder, node: Node) -> None:
    """DequantizeLinear: of weights, whose scale is kept; of a map, which is real here already."""
    if not build.is_known(node, 0):
        source = build.named(node.reads[0])
        if node.reads[0] in build.model.inputs:
            build.fail(
                node, f"{node.reads[0]} comes as integers; let the file begin with a QuantizeLinear of real numbers"
            )
        scale, zero, _ = _scale(build, node, None)
        given = build.scales.get(source)
        if given is not None and not (np.array_equal(given[0], scale) and np.array_equal(given[1], zero)):
            build.fail(node, "its scale or zero point is not that of the QuantizeLinear before it")
        build.same(node)
        return
    stored = build.constant(node, 0, "its operand")
    scale, zero, bits = _scale(build, node, stored)
    axis = node.attributes.get("axis", 1)
    if node.attributes.get("block_size", 0):
        build.fail(node, "its scales are of blocks; the machine has one for each filter")
    shape = [1] * stored.ndim
    if scale.size > 1 or zero.size > 1:
        if not -stored.ndim <= axis < stored.ndim or not {scale.size, zero.size} <= {1, stored.shape[axis]}:
            build.fail(
                node,
                f"its operand {list(stored.shape)} has {scale.size} scales and {zero.size} zero points along dimension "
                f"{axis}; there must be one for each place along it, or one for all",
            )
        shape[axis] = max(scale.size, zero.size)
    centred = stored.astype(np.float64) - (128 if stored.dtype == np.uint8 else 0)
    values = (centred - zero.reshape(shape if zero.size > 1 else 1)) * scale.reshape(shape if scale.size > 1 else 1)
    build.known[node.writes[0]] = values.astype(np.float32)
    if bits == 8 and stored.ndim > 1 and not build.as_float:
        if zero.any():
            build.fail(
                node,
                f"its weights {node.reads[0]} have zero points other than 0 (int8) or 128 "
                "(uint8); the machine's weights "
                f"are symmetric: {REQUANTISE}. Or drop the file's scales, and calibrate: --float",
            )
        build.units[node.writes[0]] = Unit(scale.astype(np.float32), axis)


def _scale(build: Builder, node: Node, stored: Array | None) -> tuple[Array, Array, int]:
    """Scales in float64, zero points as those of int8, and bits of what is quantised."""
    scale = build.constant(node, 1, "its scale").astype(np.float64)
    if not build.has(node, 2):
        kind = np.dtype(np.uint8) if stored is None else stored.dtype
        unsigned = 128 if kind == np.uint8 and node.op == "QuantizeLinear" else 0
        zero: Array = np.zeros(scale.shape, np.int64) - unsigned
    else:
        given = build.constant(node, 2, "its zero point")
        kind = given.dtype if stored is None else stored.dtype
        zero = given.astype(np.int64) - (128 if kind == np.uint8 else 0)
    if kind.kind not in "iu":
        build.fail(node, f"it quantises to {kind}; the machine's integers are int8")
    return scale, zero, kind.itemsize * 8
