"""Run a ``FloatGraph`` in floating point: for calibration, and to compare decisions with int8's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gatewright.compiler.graph.graph import FloatGraph, ImageScaling
from gatewright.compiler.graph.leaving import Stages, stages_of

BATCH_PIXELS = 128 * 32 * 32
"""Pixels of images at a time, or one image: bounds the memory of a run."""

Observer = Callable[[str, Tensor], None]
"""Is told every tensor's name and its values [B, C, H, W], also a channel gate's hidden layer [B, hidden]."""


@dataclass(frozen=True)
class FloatResult:
    """The network's results, and each gate's decisions, bool [N, grid h, grid w] or [N, channels].

    ``outputs`` are float32: logits [N, classes] of a classifier, maps [N, channels, height, width].
    """

    outputs: dict[str, npt.NDArray[np.float32]]
    decisions: dict[str, npt.NDArray[np.bool_]]
    stages: Stages = field(default_factory=Stages)

    @property
    def taken(self) -> npt.NDArray[np.int64]:
        """At which early exit each image leaves, [N]; without any, and for those that stay until the end, the last."""
        return self.stages.taken(self.decisions, len(next(iter(self.outputs.values()))))

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """Of the last classifier, [N, classes]; without one [N, 0]."""
        images = len(next(iter(self.outputs.values())))
        found = [values for values in self.outputs.values() if values.ndim == 2]
        last = found[-1] if found else np.zeros((images, 0), np.float32)
        return self.stages.answers(self.outputs, last, self.decisions)

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """The class of the largest logit, [N], the first one of equals; [0] without a classifier."""
        logits = self.logits
        return logits.argmax(1) if logits.shape[1] else np.zeros(0, np.int64)


def run_float(graph: FloatGraph, images: npt.NDArray[np.float32], observer: Observer | None = None) -> FloatResult:
    """Evaluate normalised images [N, C, H, W]; the observer sees every tensor, batch by batch."""
    parameters = {
        layer.name: [torch.from_numpy(a.astype(np.float32)) for a in layer.parameters()] for layer in graph.layers
    }
    with torch.no_grad():
        results = [_run(graph, Batch(parameters, observer), part) for part in _batches(images, graph.scaling)]
    return FloatResult(
        {name: np.concatenate([given[name] for given, _ in results]) for name in results[0][0]},
        {gate: np.concatenate([decided[gate] for _, decided in results]) for gate in results[0][1]},
        stages_of(graph),
    )


def _batches(images: npt.NDArray[np.float32], scaling: ImageScaling | None) -> Iterator[Tensor]:
    step = max(1, BATCH_PIXELS // (images.shape[2] * images.shape[3]))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        yield torch.from_numpy(np.ascontiguousarray(part if scaling is None else scaling.apply(part), np.float32))


def _run(
    graph: FloatGraph, batch: Batch, images: Tensor
) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, npt.NDArray[np.bool_]]]:
    """Results and decisions of one batch."""
    batch.write(graph.input, images)
    for layer in graph.layers:
        layer.run(batch)
    results = {name: values.numpy() for name, values in batch.outputs.items()}
    return results, {name: mask.numpy() for name, mask in batch.masks.items()}


class Batch:
    """One batch's tensors, which the layers read and write.

    ``maps`` are [B, C, H, W], ``outputs`` those that the network returns, beside logits [B, classes],
    ``masks`` bool [B, grid height, grid width] or [B, channels];
    ``parameters`` has each layer's weights as float32 tensors.
    """

    def __init__(self, parameters: dict[str, list[Tensor]], observer: Observer | None) -> None:
        self.parameters, self._observer = parameters, observer
        self.maps: dict[str, Tensor] = {}
        self.masks: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}

    def write(self, name: str, values: Tensor) -> None:
        """A feature map is computed."""
        self.maps[name] = values
        self.observe(name, values)

    def observe(self, name: str, values: Tensor) -> None:
        """Show a tensor to the observer."""
        if self._observer is not None:
            self._observer(name, values)
