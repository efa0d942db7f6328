"""Run a ``FloatGraph`` in floating point: for calibration, and to compare decisions with int8's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.compiler.graph.graph import FloatChannelGate, FloatClassifier, FloatConv, FloatGraph, FloatSpatialGate

BATCH = 128
"""Images at a time: bounds the memory of a run."""

Observer = Callable[[str, Tensor], None]
"""Is told every tensor's name and its values [B, C, H, W], also a channel gate's hidden layer [B, hidden]."""


@dataclass(frozen=True)
class FloatResult:
    """Logits [N, classes] float32, and each gate's decisions, bool [N, grid h, grid w] or [N, channels]."""

    logits: npt.NDArray[np.float32]
    decisions: dict[str, npt.NDArray[np.bool_]]

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """The class of the largest logit, [N]; the first one of equals."""
        return self.logits.argmax(1)


def run_float(graph: FloatGraph, images: npt.NDArray[np.float32], observer: Observer | None = None) -> FloatResult:
    """Evaluate normalised images [N, C, H, W]; the observer sees every tensor, batch by batch."""
    runner = _Runner(graph, observer)
    with torch.no_grad():
        results = [runner.run(batch) for batch in _batches(images)]
    logits = np.concatenate([logits for logits, _ in results])
    return FloatResult(
        logits, {gate: np.concatenate([decided[gate] for _, decided in results]) for gate in results[0][1]}
    )


def _batches(images: npt.NDArray[np.float32]) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH):
        yield torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH], np.float32))


class _Runner:
    """The graph with its weights as float32 tensors."""

    def __init__(self, graph: FloatGraph, observer: Observer | None) -> None:
        self.graph, self.observer = graph, observer
        self.parameters: dict[str, list[Tensor]] = {}
        for layer in graph.layers:
            arrays = [layer.weight, np.atleast_1d(layer.bias)]
            if isinstance(layer, FloatConv | FloatSpatialGate):
                arrays[0] = layer.weight.transpose(0, 3, 1, 2)
            if isinstance(layer, FloatChannelGate):
                arrays += [layer.hidden_weight, layer.hidden_bias]
            self.parameters[layer.name] = [torch.from_numpy(a.astype(np.float32)) for a in arrays]

    def run(self, images: Tensor) -> tuple[npt.NDArray[np.float32], dict[str, npt.NDArray[np.bool_]]]:
        """Logits and decisions of one batch."""
        maps = {self.graph.input: images}
        masks: dict[str, Tensor] = {}
        self._observe(self.graph.input, images)
        for layer in self.graph.layers:
            weight, bias, *hidden = self.parameters[layer.name]
            source = maps[layer.source]
            match layer:
                case FloatConv():
                    maps[layer.output] = self._convolve(layer, source, maps, masks)
                    self._observe(layer.output, maps[layer.output])
                case FloatSpatialGate():
                    pooled = F.adaptive_avg_pool2d(source, layer.grid)
                    masks[layer.name] = F.conv2d(pooled, weight, bias, padding=1)[:, 0] >= 0
                case FloatChannelGate():
                    neurons = F.relu(F.linear(source.mean((2, 3)), *hidden))
                    self._observe(f"{layer.name}.hidden", neurons)
                    masks[layer.name] = F.linear(neurons, weight, bias) >= 0
                case FloatClassifier():
                    maps[layer.output] = F.linear(source.mean((2, 3)), weight, bias)
        logits = maps[self.graph.layers[-1].output]  # type: ignore[union-attr]
        return logits.numpy(), {name: mask.numpy() for name, mask in masks.items()}

    def _convolve(self, conv: FloatConv, source: Tensor, maps: dict[str, Tensor], masks: dict[str, Tensor]) -> Tensor:
        weight, bias = self.parameters[conv.name]
        value = F.conv2d(source, weight, bias, conv.stride, conv.padding)
        if conv.output_channels is not None:
            value = value * masks[conv.output_channels][:, :, None, None]
        if conv.output_tiles is not None:
            mask = masks[conv.output_tiles]
            tile = value.shape[2] // mask.shape[1]
            value = value * mask.repeat_interleave(tile, 1).repeat_interleave(tile, 2)[:, None]
        if conv.residual is not None:
            value = value + maps[conv.residual]
        return F.relu(value) if conv.relu else value

    def _observe(self, name: str, values: Tensor) -> None:
        if self.observer is not None:
            self.observer(name, values)
