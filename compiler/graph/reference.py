"""The integer reference: what a ``QuantisedGraph`` computes, bit for bit, for a batch of images.

Written apart from the machine: its arithmetic (``exact``) is shared with neither the simulators nor the
lowering, so that it can judge both. Sums of products run in floating point where they are provably exact, and
rounding in int64.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.leaving import Stages, stages_of
from gatewright.contract.errors import GatewrightError

Outputs = dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]]
"""What a network returns, by name: int32 of a classifier, int8 of a map."""

BATCH_PIXELS = 64 * 32 * 32
"""Pixels of images at a time, or one image: bounds the memory of the unfolded maps."""


@dataclass(frozen=True)
class ReferenceResult:
    """What the reference computed for N images.

    ``outputs`` are the network's results, in their order: int32 [N, classes] of a classifier, int8
    [N, height, width, channels] of a map. ``decisions`` are bool [N, grid height, grid width] or
    [N, channels] by gate. ``tensors`` is filled on request: int8 [N, height, width, channels] by
    feature map (the input and pooled maps included), and int8 [N, hidden] as ``<gate>.hidden``. All is
    computed for every image; ``stages`` says where early exits lie.
    """

    outputs: Outputs
    decisions: dict[str, npt.NDArray[np.bool_]]
    tensors: dict[str, npt.NDArray[np.int8]] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)

    @property
    def taken(self) -> npt.NDArray[np.int64]:
        """At which early exit each image leaves, [N]; without any, and for those that stay until the end, the last."""
        return self.stages.taken(self.decisions, len(next(iter(self.outputs.values()))))

    def outputs_of(self, image: int) -> Outputs:
        """The results of one image, by name; those behind the exit at which it leaves are not there."""
        names = self.stages.reached(self.outputs, int(self.taken[image]))
        return {name: self.outputs[name][image] for name in names}

    def decisions_of(self, image: int) -> Decisions:
        """The decisions of the gates that one image sees, its exits included."""
        names = self.stages.reached(self.decisions, int(self.taken[image]))
        return {name: self.decisions[name][image] for name in names}

    @property
    def logits(self) -> npt.NDArray[np.int32]:
        """Of the last classifier, [N, classes]; without one [N, 0]."""
        images = len(next(iter(self.outputs.values())))
        found = [values.astype(np.int32) for values in self.outputs.values() if values.dtype == np.int32]
        last = found[-1] if found else np.zeros((images, 0), np.int32)
        return self.stages.answers(self.outputs, last, self.decisions)

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """The class of the largest logit, [N], the first one of equals; [0] without a classifier."""
        logits = self.logits
        return logits.argmax(1) if logits.shape[1] else np.zeros(0, np.int64)


def run_reference(
    graph: QuantisedGraph,
    images: npt.NDArray[np.int8],
    *,
    keep: bool = False,
    progress: bool = False,
    held: Decisions | None = None,
) -> ReferenceResult:
    """Evaluate images int8 [N, height, width, channels], with every feature map if ``keep``.

    ``held``: what gates decide for all these images in place of what they would, as bool arrays of one image.
    """
    shape = graph.shapes[graph.input]
    expected = (shape.height, shape.width, shape.channels)
    if images.dtype != np.int8 or images.ndim != 4 or images.shape[1:] != expected or len(images) == 0:
        raise GatewrightError(
            f"images are {images.dtype} {list(images.shape)}; this network takes int8 "
            f"[N, {', '.join(map(str, expected))}] from quantise_input, with at least one image"
        )
    results = []
    with torch.no_grad():
        step = max(1, BATCH_PIXELS // (shape.height * shape.width))
        for start in tqdm(range(0, len(images), step), "integer reference", disable=not progress):
            results.append(Batch(graph, images[start : start + step], held).run(keep))
    return ReferenceResult(
        {name: np.concatenate([r.outputs[name] for r in results]) for name in results[0].outputs},
        {name: np.concatenate([r.decisions[name] for r in results]) for name in results[0].decisions},
        {name: np.concatenate([r.tensors[name] for r in results]) for name in results[0].tensors},
        stages_of(graph),
    )


class Batch:
    """One batch's tensors, which the layers read and write.

    ``maps`` are int8 [B, C, H, W], ``masks`` bool [B, grid height, grid width] or [B, channels],
    ``hidden`` int8 [B, hidden], ``outputs`` as those of ``ReferenceResult``.
    """

    def __init__(self, graph: QuantisedGraph, images: npt.NDArray[np.int8], held: Decisions | None = None) -> None:
        self.graph, self.held = graph, held or {}
        self.maps = {graph.input: torch.from_numpy(images.copy()).permute(0, 3, 1, 2)}
        self.masks: dict[str, Tensor] = {}
        self.hidden: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}

    def write(self, name: str, values: Tensor) -> None:
        """A feature map is computed; its values, clipped by the layer, fit int8."""
        self.maps[name] = values.to(torch.int8)

    def run(self, keep: bool) -> ReferenceResult:
        """All layers, in order."""
        for layer in self.graph.layers:
            layer.run(self)
            if layer.name in self.held:
                mask = self.masks[layer.name]
                self.masks[layer.name] = torch.from_numpy(self.held[layer.name]).expand(mask.shape)
        tensors = {}
        if keep:
            tensors = {name: values.permute(0, 2, 3, 1).contiguous().numpy() for name, values in self.maps.items()}
            tensors |= {name: values.numpy() for name, values in self.hidden.items()}
        decisions = {name: mask.numpy() for name, mask in self.masks.items()}
        return ReferenceResult({name: values.numpy() for name, values in self.outputs.items()}, decisions, tensors)
