"""The integer reference: what a ``QuantisedGraph`` computes, bit for bit, for a batch of images.

Written apart from the machine: it shares no arithmetic with the simulator or the lowering, so that
it can judge both. Sums of products run in floating point where they are provably exact, and
rounding in int64.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from gatewright.compiler.graph.graph import (
    Pooling,
    QuantisedChannelGate,
    QuantisedClassifier,
    QuantisedConv,
    QuantisedGraph,
    QuantisedSpatialGate,
    Requantisation,
)
from gatewright.contract.errors import GatewrightError

BATCH = 64
"""Images at a time: bounds the memory of the unfolded maps."""

EXACT_FLOAT32 = 1 << 24
"""Every integer up to this magnitude, and so every partial sum below it, is exact in float32."""


@dataclass(frozen=True)
class ReferenceResult:
    """What the reference computed for N images.

    ``logits`` is int32 [N, classes]; ``decisions`` bool [N, grid height, grid width] or
    [N, channels] by gate. ``tensors`` is filled on request: int8 [N, height, width, channels] by
    feature map (the input and pooled maps included), and int8 [N, hidden] as ``<gate>.hidden``.
    """

    logits: npt.NDArray[np.int32]
    decisions: dict[str, npt.NDArray[np.bool_]]
    tensors: dict[str, npt.NDArray[np.int8]] = field(default_factory=dict)

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """The class of the largest logit, [N]; the first one of equals."""
        return self.logits.argmax(1)


def run_reference(
    graph: QuantisedGraph, images: npt.NDArray[np.int8], *, keep: bool = False, progress: bool = False
) -> ReferenceResult:
    """Evaluate images int8 [N, height, width, channels], with every feature map if ``keep``."""
    shape = graph.shapes[graph.input]
    expected = (shape.height, shape.width, shape.channels)
    if images.dtype != np.int8 or images.ndim != 4 or images.shape[1:] != expected or len(images) == 0:
        raise GatewrightError(
            f"images are {images.dtype} {list(images.shape)}; this network takes int8 "
            f"[N, {', '.join(map(str, expected))}] from quantise_input, with at least one image"
        )
    results = []
    with torch.no_grad():
        for start in tqdm(range(0, len(images), BATCH), "integer reference", disable=not progress):
            results.append(_Batch(graph, images[start : start + BATCH]).run(keep))
    return ReferenceResult(
        np.concatenate([r.logits for r in results]),
        {name: np.concatenate([r.decisions[name] for r in results]) for name in results[0].decisions},
        {name: np.concatenate([r.tensors[name] for r in results]) for name in results[0].tensors},
    )


class _Batch:
    """One batch's tensors: feature maps int8 [B, C, H, W], masks bool."""

    def __init__(self, graph: QuantisedGraph, images: npt.NDArray[np.int8]) -> None:
        self.graph = graph
        self.maps = {graph.input: torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))}
        self.masks: dict[str, Tensor] = {}
        self.hidden: dict[str, Tensor] = {}

    def run(self, keep: bool) -> ReferenceResult:
        """All layers, in order."""
        logits = None
        for layer in self.graph.layers:
            match layer:
                case QuantisedConv():
                    self.maps[layer.output] = self._convolution(layer)
                case Pooling():
                    self.maps[layer.name] = self._pooling(layer)
                case QuantisedSpatialGate():
                    sums = _convolve(self.maps[layer.pooling], layer.weight, layer.stride, layer.padding)
                    self.masks[layer.name] = sums[:, 0] + layer.bias >= 0
                case QuantisedChannelGate():
                    self.masks[layer.name] = self._channel_gate(layer)
                case QuantisedClassifier():
                    totals = self.maps[layer.source].sum((2, 3), dtype=torch.int64)
                    logits = _dense(totals, layer.weight) + torch.from_numpy(layer.bias)
        assert logits is not None, "a graph ends with a classifier"
        tensors = {}
        if keep:
            tensors = {name: values.permute(0, 2, 3, 1).contiguous().numpy() for name, values in self.maps.items()}
            tensors |= {name: values.numpy() for name, values in self.hidden.items()}
        decisions = {name: mask.numpy() for name, mask in self.masks.items()}
        return ReferenceResult(logits.to(torch.int32).numpy(), decisions, tensors)

    def _convolution(self, conv: QuantisedConv) -> Tensor:
        values = _requantise(
            _convolve(self.maps[conv.source], conv.weight, conv.stride, conv.padding), conv.requantisation
        )
        if conv.output_channels is not None:
            values *= self.masks[conv.output_channels][:, :, None, None]
        if conv.output_tiles is not None:
            values *= _spread(self.masks[conv.output_tiles], self._tile(conv.output_tiles), values)
        if conv.residual is not None:
            values += self.maps[conv.residual]
        return values.clamp_(0 if conv.relu else -128, 127).to(torch.int8)

    def _tile(self, gate: str) -> int:
        (tile,) = (g.tile for g in self.graph.layers if isinstance(g, QuantisedSpatialGate) and g.name == gate)
        return tile

    def _pooling(self, pooling: Pooling) -> Tensor:
        source, tile = self.maps[pooling.source], pooling.tile
        height, width = source.shape[2:]
        padded = F.pad(source, (0, -width % tile, 0, -height % tile))
        sums = padded.unflatten(3, (-1, tile)).unflatten(2, (-1, tile)).sum((3, 5), dtype=torch.int64)
        return (
            _scaled(sums, torch.tensor(pooling.multiplier), torch.tensor(pooling.shift))
            .clamp_(-128, 127)
            .to(torch.int8)
        )

    def _channel_gate(self, gate: QuantisedChannelGate) -> Tensor:
        totals = self.maps[gate.pooling].sum((2, 3), dtype=torch.int64)
        hidden = _requantise(_dense(totals, gate.hidden_weight), gate.hidden).clamp_(0, 127)
        self.hidden[f"{gate.name}.hidden"] = hidden.to(torch.int8)
        return _dense(hidden, gate.weight) + torch.from_numpy(gate.bias) >= 0


def _convolve(source: Tensor, weight: npt.NDArray[np.int8], stride: int, padding: int) -> Tensor:
    """The exact integer convolution of int8 [B, C, H, W] with [O, KH, KW, C]: int64 [B, O, H', W'].

    A matrix product over unfolded patches, so that no fast-convolution algorithm can round: every
    partial sum in whatever order is an integer of at most 128 times a row's absolute sum.
    """
    kernel = torch.from_numpy(np.ascontiguousarray(weight.transpose(0, 3, 1, 2))).flatten(1)
    exact = int(kernel.to(torch.int64).abs().sum(1).max()) * 128 < EXACT_FLOAT32
    dtype = torch.float32 if exact else torch.float64
    size = weight.shape[1:3]
    height, width = ((source.shape[2 + i] + 2 * padding - size[i]) // stride + 1 for i in range(2))
    patches = F.unfold(source.to(dtype), size, padding=padding, stride=stride)
    return (kernel.to(dtype) @ patches).to(torch.int64).unflatten(2, (height, width))


def _dense(values: Tensor, weight: npt.NDArray[np.int8]) -> Tensor:
    """Exact product of int64 [B, C] and int8 [O, C]: int64 [B, O]."""
    return values @ torch.from_numpy(weight).to(torch.int64).T


def _requantise(sums: Tensor, requantisation: Requantisation) -> Tensor:
    """Add the bias and scale, per channel (dimension 1), to int16 range; int64."""
    shape = (1, -1) + (1,) * (sums.dim() - 2)
    bias, multiplier, shift = (
        torch.from_numpy(a).view(shape) for a in (requantisation.bias, requantisation.multiplier, requantisation.shift)
    )
    return _scaled(sums + bias, multiplier, shift)


def _scaled(sums: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """sums * multiplier / 2**shift, halves up, saturated to int16."""
    half = torch.ones_like(shift) << (shift - 1)
    return ((sums * multiplier).add_(half) >> shift).clamp_(-32768, 32767)


def _spread(mask: Tensor, tile: int, like: Tensor) -> Tensor:
    """A tile mask [B, grid h, grid w] over the pixels of a map: [B, 1, H, W]."""
    pixels = mask.repeat_interleave(tile, 1).repeat_interleave(tile, 2)
    return pixels[:, None, : like.shape[2], : like.shape[3]]
