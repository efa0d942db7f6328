"""Pads and windows: what is put round a map, and pools."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.from_onnx.build import Builder, Padded
from gatewright.from_onnx.model import MOST_PIXELS, Node
from gatewright.from_onnx.network import Function

NO_END = 1e30
"""A larger number stands for none: exporters write the largest float, or infinity."""


def pair(build: Builder, node: Node, name: str) -> list[int]:
    """Two numbers of a node, for rows and columns, from 1 on; where they are not given, 1."""
    values = [int(edge) for edge in node.attributes.get(name, (1, 1))]
    if len(values) != 2 or not all(1 <= value <= MOST_PIXELS for value in values):
        build.fail(node, f"its {name} are {values}; of a map there are two, from 1 to {MOST_PIXELS:,}")
    return values


def pads_of(
    build: Builder, node: Node, size: Sequence[int], kernel: list[int], stride: list[int], dilation: list[int]
) -> tuple[list[int], list[int]]:
    """Rows and columns that a node puts before a map, and behind it."""
    reach = [(edge - 1) * step + 1 for edge, step in zip(kernel, dilation, strict=True)]
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (-(-edge // step) - 1) * step + window - edge)
            for edge, step, window in zip(size, stride, reach, strict=True)
        ]
        less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
        before, behind = (less, more) if auto == "SAME_UPPER" else (more, less)
    else:
        pads = [int(edge) for edge in node.attributes.get("pads", (0, 0, 0, 0))] if auto != "VALID" else [0] * 4
        before, behind = pads[:2], pads[2:]
    if len(before) != 2 or len(behind) != 2:
        build.fail(node, f"it pads by {[*before, *behind]}; of a map there are four numbers: rows and columns, twice")
    if max(*before, *behind) > MOST_PIXELS:
        build.fail(node, f"it pads by {[*before, *behind]}; at most {MOST_PIXELS:,} are supported")
    if min(*before, *behind) < 0:
        build.fail(node, f"it crops (pads {[*before, *behind]}); crop the images in place of the map")
    return before, behind


def max_pool(build: Builder, node: Node) -> None:
    """MaxPool, of two dimensions, with a Pad before it whose numbers are never the largest of a window."""
    if len([name for name in node.writes if name]) > 1:
        build.fail(node, "it also returns indices; the machine has the maxima alone")
    dilation = pair(build, node, "dilations")
    padded = build.map_of(node).shape[2:]
    source, more = build.without_pad(node, lambda pad: dilation == [1, 1] and _never_largest(build, node, pad))
    kernel, stride, *own, ceil = _window(build, node)
    before, behind = ([a + b for a, b in zip(*pair, strict=True)] for pair in zip(own, more, strict=True))
    image = build.live[source]
    counts = [_windows(*edge) for edge in zip(padded, kernel, stride, dilation, *own, [ceil] * 2, strict=True)]
    last = [(count - 1) * step - front for count, step, front in zip(counts, stride, before, strict=True)]
    ways = [
        way
        for way in (False, True)
        if max(2 * a - b for a, b in zip(before, kernel, strict=True)) <= 0
        and all(start < edge for start, edge in zip(last, image.shape[2:], strict=True))
        and list(F.max_pool2d(image, kernel, stride, before, dilation, ceil_mode=way).shape[2:]) == counts
    ]
    if not ways:
        build.fail(
            node,
            f"it pads {before} before and {behind} behind the map; supported is the same on both sides, or as much "
            "behind as a last window reaches (torch's ceil_mode), and at most half a window: choose an image size for "
            "which it does, or train with symmetric padding",
        )
    beyond = ways[0]
    build.append(
        node,
        Function(lambda x: F.max_pool2d(x, kernel, stride, before, dilation, ceil_mode=beyond)),
        reads=(source,),
    )


def _windows(edge: int, kernel: int, stride: int, dilation: int, before: int, behind: int, ceil: bool) -> int:
    """How many windows lie along a padded edge; ``ceil``: a last one may reach beyond it, but starts before its end."""
    room = edge + before + behind - (kernel - 1) * dilation - 1
    if not ceil:
        return room // stride + 1
    last = -(-room // stride)
    return last + (last * stride < edge + before)


def _never_largest(build: Builder, node: Node, pad: Padded) -> bool:
    """Whether a pad may be left out before a max pool: each window has a pixel of the map that is as large."""
    if pad.filler is None or pad.filler < -NO_END:
        return True
    if pad.filler == 0 and not build.never_negative(pad.source):
        build.fail(
            node,
            f"{pad.node.where} puts zeros round {pad.source}, which may be negative; the machine's max pool leaves "
            "what is padded out: put a ReLU before the pad, or let the max pool pad",
        )
    return pad.filler == 0


def average_pool(build: Builder, node: Node) -> None:
    """AveragePool, of two dimensions."""
    kernel, stride, before, behind, ceil = _window(build, node)
    if before != behind:
        build.fail(node, f"it pads {before} before and {behind} behind the map; supported is the same on both sides")
    if pair(build, node, "dilations") != [1, 1]:
        build.fail(node, "its window is dilated; supported are windows of neighbouring pixels")
    if kernel == [int(edge) for edge in build.map_of(node).shape[2:]] and not any(before):
        build.apply(node, lambda x: F.adaptive_avg_pool2d(x, 1))  # one window, whatever the stride
        return
    counted = bool(node.attributes.get("count_include_pad", 0))

    def pool(x: Tensor, ceil: bool = ceil) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, before, ceil, counted)

    build.apply(node, (lambda x: pool(x, False)) if _alike(pool, build.map_of(node)) else pool)


def _alike(pool: object, image: Tensor) -> bool:
    """Whether a pool has as many windows with and without ``ceil_mode``, which exporters then write as they like."""
    assert callable(pool)
    with torch.no_grad():
        return bool(pool(image).shape == pool(image, False).shape)


def _window(build: Builder, node: Node) -> tuple[list[int], list[int], list[int], list[int], bool]:
    """Kernel, stride, pads before and behind, and whether windows may reach beyond the end."""
    if not build.map_of(node).is_floating_point():
        build.fail(node, "it pools decisions; supported are maps of real numbers")
    size = [int(edge) for edge in build.map_of(node).shape[2:]]
    kernel, stride, dilation = (pair(build, node, name) for name in ("kernel_shape", "strides", "dilations"))
    before, behind = pads_of(build, node, size, kernel, stride, dilation)
    for edge, reach, step, front, back in zip(size, kernel, dilation, before, behind, strict=True):
        if (reach - 1) * step >= edge + front + back:
            build.fail(node, f"its windows of {kernel} pixels are larger than the map, {size}; they must fit")
    if any(2 * edge > window for edge, window in zip(before, kernel, strict=True)):
        build.fail(node, f"it pads {before} for windows of {kernel}; at most half a window is supported")
    return kernel, stride, before, behind, bool(node.attributes.get("ceil_mode", 0))


def global_average(build: Builder, node: Node) -> None:
    """GlobalAveragePool."""
    build.map_of(node)
    build.apply(node, lambda x: F.adaptive_avg_pool2d(x, 1))


def pad(build: Builder, node: Node) -> None:
    """Pad; a convolution that reads zeros pads, and a max pool has no need of what is never the largest."""
    build.map_of(node)
    mode, pads, number = how_padded(build, node)
    if any(pads[:2]) or any(pads[4:6]) or min(pads) < 0 or max(pads) > MOST_PIXELS:
        build.fail(node, f"it pads by {pads}; supported are up to {MOST_PIXELS:,} rows and columns that are added")
    if not any(pads):
        build.same(node)
        return
    build.pad(node, pads[2:4], pads[6:8], number if mode == "constant" else None)


def how_padded(build: Builder, node: Node) -> tuple[str, list[int], float]:
    """How a Pad of a map pads: its mode, its pads (before each of four dimensions, then behind), and the number."""
    mode = node.attributes.get("mode", "constant")
    if mode not in ("constant", "edge"):
        build.fail(node, f"it pads by {mode}; the machine pads with zeros")
    pads, axes = build.integers(node, 1, "pads") or [], list(range(4))
    if build.has(node, 3):
        axes = [axis % 4 for axis in build.integers(node, 3, "axes") or []]
    if len(pads) != 2 * len(axes):
        build.fail(node, f"its pads are {pads}; there must be two for each dimension")
    placed = [0] * 8
    for place, axis in enumerate(axes):
        placed[axis], placed[axis + 4] = pads[place], pads[place + len(axes)]
    return mode, placed, build.number(node, 2, "value") or 0.0
