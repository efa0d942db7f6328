"""The torch network that an ONNX file becomes: a module for each node that depends on the image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Step:
    """A module by its path, and the names of what it reads and writes."""

    path: str
    reads: tuple[str, ...]
    writes: str


class Function(nn.Module):
    """A function of tensors as a module: it has a name in messages."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *operands: Tensor) -> Tensor:
        """Apply it."""
        return self.function(*operands)


class OnnxNetwork(nn.Module):
    """Steps in the file's order. Modules have the paths that the file's names give, ``layer1.0.conv1`` for one.

    ``inputs`` and ``outputs`` are names of tensors. The forward pass takes a tensor for each input, and gives a tensor,
    or a tuple if there are several outputs.
    """

    def __init__(self, inputs: Iterable[str]) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.outputs: tuple[str, ...] = ()
        self.steps: list[Step] = []

    def append(self, path: str, module: nn.Module, reads: tuple[str, ...], writes: str) -> None:
        """Put a step behind the others; its path is numbered if it is taken."""
        path, number = _clean(path), 2
        while not self._free(path if number == 2 else f"{path}_{number - 1}"):
            number += 1
        path = path if number == 2 else f"{path}_{number - 1}"
        *folders, last = path.split(".")
        place: nn.Module = self
        for folder in folders:
            if folder not in place._modules:
                place.add_module(folder, nn.Module())
            place = place._modules[folder] or place
        place.add_module(last, module)
        self.steps.append(Step(path, reads, writes))

    def _free(self, path: str) -> bool:
        place: nn.Module = self
        *folders, last = path.split(".")
        for folder in folders:
            if folder not in place._modules:
                return not hasattr(place, folder)
            place = place._modules[folder] or place
            if type(place) is not nn.Module:
                return False
        return not hasattr(place, last)

    def module(self, step: Step) -> nn.Module:
        """The module of a step."""
        return self.get_submodule(step.path)

    def forward(self, *operands: Tensor) -> Any:
        """What the file computes."""
        values = dict(zip(self.inputs, operands, strict=True))
        for step in self.steps:
            values[step.writes] = self.get_submodule(step.path)(*(values[name] for name in step.reads))
        results = tuple(values[name] for name in self.outputs)
        return results[0] if len(results) == 1 else results


def _clean(path: str) -> str:
    """A path of module names: folders of a node's name, without what torch does not take in a name."""
    parts = [re.sub(r"\W+", "_", part).strip("_") for part in re.split(r"[/.]+", path)]
    kept = [part for part in parts if part] or ["node"]
    # Exporters repeat a folder with its own name behind it: /layer1/layer1.0/conv1 is layer1.0.conv1.
    short = [part for number, part in enumerate(kept) if number + 1 == len(kept) or kept[number + 1] != part]
    return ".".join(short)


def constant(array: Any) -> Tensor:
    """An array as a tensor of its own."""
    return torch.from_numpy(array.copy())
