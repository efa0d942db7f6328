"""Nodes that change a tensor's shape or size alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.from_onnx.build import Builder
from gatewright.from_onnx.model import MOST_PIXELS, Node


def reshape(build: Builder, node: Node) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze, to the shape that they have for one image."""
    value = build.value(node, 0)
    shape = target_shape(build, node, list(value.shape))
    if shape == list(value.shape):
        build.same(node)
        return
    try:
        value.reshape(shape)
    except RuntimeError:
        build.fail(
            node,
            f"it makes {shape} of {list(value.shape)} for one image; if the batch stands in the file, export it with a "
            "batch of 1",
        )
    build.apply(node, lambda x: x.reshape(shape))


def target_shape(build: Builder, node: Node, old: list[int]) -> list[int]:
    """What a node makes of a tensor ``old``."""
    if node.op == "Flatten":
        axis = node.attributes.get("axis", 1)
        axis += len(old) if axis < 0 else 0
        return [int(np.prod(old[:axis])), int(np.prod(old[axis:]))]
    if node.op == "Reshape":
        wanted = build.integers(node, 1, "shape") or []
        if not node.attributes.get("allowzero", 0):
            wanted = [old[place] if edge == 0 and place < len(old) else edge for place, edge in enumerate(wanted)]
        rest = int(np.prod([edge for edge in wanted if edge != -1]))
        return [int(np.prod(old)) // max(rest, 1) if edge == -1 else edge for edge in wanted]
    axes = build.integers(node, 1, "axes")
    if node.op == "Squeeze":
        gone = {axis % len(old) for axis in axes} if axes is not None else {n for n, e in enumerate(old) if e == 1}
        if any(old[axis] != 1 for axis in gone):
            build.fail(node, f"it squeezes {list(old)} along {sorted(gone)}, which are not of 1")
        return [edge for axis, edge in enumerate(old) if axis not in gone]
    axes = axes or []
    new = {axis % (len(old) + len(axes)) for axis in axes}
    if len(new) != len(axes):
        build.fail(node, f"it puts dimensions in at {axes}; each must be there once")
    rest_of = iter(old)
    return [1 if axis in new else next(rest_of) for axis in range(len(old) + len(axes))]


def transpose(build: Builder, node: Node) -> None:
    """Transpose, where only dimensions of 1 move; that of a map is taken by ``layout``."""
    value = build.value(node, 0)
    order = [int(axis) for axis in node.attributes.get("perm", range(value.dim())[::-1])]
    if [axis for axis in order if value.shape[axis] > 1] != [
        axis for axis in range(value.dim()) if value.shape[axis] > 1
    ]:
        build.fail(
            node,
            f"it reorders {list(value.shape)} by {order}; supported are maps, of four dimensions: end before the node: "
            "--output",
        )
    shape = [value.shape[axis] for axis in order]
    build.apply(node, lambda x: x.reshape(shape))


def how_sliced(build: Builder, node: Node, dimensions: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Starts, ends, dimensions and steps of a Slice."""
    starts, ends = build.integers(node, 1, "starts") or [], build.integers(node, 2, "ends") or []
    axes, steps = build.integers(node, 3, "axes"), build.integers(node, 4, "steps")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or not all(-dimensions <= a < dimensions for a in axes):
        build.fail(
            node,
            f"it takes {starts} to {ends} of dimensions {axes} in steps of {steps}; there must be one of each for "
            f"some of {dimensions} dimensions",
        )
    return starts, ends, [axis % dimensions for axis in axes], steps


def part(build: Builder, node: Node) -> None:
    """Slice, with constant ends and steps of 1."""
    value = build.value(node, 0)
    starts, ends, axes, steps = how_sliced(build, node, value.dim())
    cuts = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step != 1:
            build.fail(node, f"it takes every {step}th; supported are steps of 1")
        first, last, _ = slice(start, end).indices(value.shape[axis])
        cuts.append((axis, first, max(last, first)))

    def cut(x: Tensor) -> Tensor:
        for axis, first, last in cuts:
            x = torch.ops.aten.slice.Tensor(x, axis, first, last)
        return x

    build.apply(node, cut)


def gather(build: Builder, node: Node) -> None:
    """Gather of one index."""
    value, index = build.value(node, 0), build.constant(node, 1, "its indices")
    axis = node.attributes.get("axis", 0) % value.dim()
    if index.size != 1 or index.ndim > 1:
        build.fail(node, f"it gathers {list(index.shape)} indices; supported is one")
    place = int(index.reshape(-1)[0]) % value.shape[axis]
    if index.ndim == 0:
        build.apply(node, lambda x: x.select(axis, place))
    else:
        build.apply(node, lambda x: torch.ops.aten.slice.Tensor(x, axis, place, place + 1))


# Sizes


def resize(build: Builder, node: Node) -> None:
    """Resize and Upsample: nearest by whole factors, or bilinear."""
    value = build.map_of(node)
    old = [int(edge) for edge in value.shape]
    new = _resized(build, node, old)
    mode = node.attributes.get("mode", "nearest")
    place = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    place = "asymmetric" if node.op == "Upsample" else place
    if new[:2] != old[:2]:
        build.fail(node, f"it resizes {old} to {new}; supported are rows and columns")
    if new == old:
        build.same(node)
    elif mode == "nearest":
        if any(
            _nearest(build, node, a, b, place) != [p * a // b for p in range(b)]
            for a, b in zip(old[2:], new[2:], strict=True)
        ):
            build.fail(node, f"it resizes {old[2:]} to {new[2:]} by {place}; pixels must be repeated, by whole factors")
        build.apply(node, lambda x: F.interpolate(x, size=new[2:], mode="nearest"))
    elif (
        mode in ("linear", "bilinear")
        and (place != "pytorch_half_pixel" or 1 not in new[2:])
        and place in ("half_pixel", "pytorch_half_pixel", "align_corners")
    ):
        if node.attributes.get("antialias", 0):
            build.fail(node, "it smooths (antialias); supported is plain bilinear")
        corners = place == "align_corners"
        build.apply(node, lambda x: F.interpolate(x, size=new[2:], mode="bilinear", align_corners=corners))
    else:
        build.fail(
            node, f"it resizes by {mode}, {place}; supported are nearest, and linear with half_pixel or align_corners"
        )


def _resized(build: Builder, node: Node, old: list[int]) -> list[int]:
    """The new shape, by sizes or by scales."""
    axes = [int(axis) % 4 for axis in node.attributes.get("axes", range(4))]
    new = list(old)
    if node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        build.fail(node, "it keeps the aspect ratio; supported are sizes and scales")
    at_scales = 1 if node.op == "Upsample" or build.model.opset < 11 else 2
    if node.op == "Resize" and build.has(node, 3):
        sizes = build.constant(node, 3, "its sizes").reshape(-1)
        if len(sizes) != len(axes) or not all(1 <= edge <= MOST_PIXELS for edge in sizes):
            build.fail(
                node,
                f"its sizes are {[int(edge) for edge in sizes]}; supported is one from 1 to {MOST_PIXELS:,}, "
                "for each dimension",
            )
        for axis, edge in zip(axes, sizes, strict=True):
            new[axis] = int(edge)
        return new
    scales = build.optional(node, at_scales, "scales")
    if scales is None or np.size(scales) != len(axes):
        build.fail(node, "it says neither sizes nor scales, or not one for each dimension; it must")
    if not all(
        1 / MOST_PIXELS <= float(scale) * old[axis] <= MOST_PIXELS for axis, scale in zip(axes, scales, strict=True)
    ):
        build.fail(
            node,
            f"it resizes {old} by {[float(scale) for scale in scales]}; supported are edges from 1 to {MOST_PIXELS:,}",
        )
    for axis, scale in zip(axes, scales, strict=True):
        new[axis] = int(np.floor(old[axis] * float(scale)))
        if float(scale) * old[axis] != new[axis]:
            build.fail(node, f"a scale of {float(scale):g} leaves a part of a pixel; export the file with sizes")
    return new


def _nearest(build: Builder, node: Node, old: int, new: int, place: str) -> list[int]:
    """The pixel that each new one is."""
    at = np.arange(new)
    scale = new / old
    where = at / scale if place == "asymmetric" else (at + 0.5) / scale - 0.5
    rounding = node.attributes.get("nearest_mode", "floor" if node.op == "Upsample" else "round_prefer_floor")
    ways = {
        "floor": np.floor(where),
        "ceil": np.ceil(where),
        "round_prefer_floor": np.ceil(where - 0.5),
        "round_prefer_ceil": np.floor(where + 0.5),
    }
    if rounding not in ways:
        build.fail(node, f"its nearest_mode is {rounding}; supported are {', '.join(ways)}")
    return [int(each) for each in np.clip(ways[rounding], 0, old - 1)]
