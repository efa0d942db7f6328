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
        """Put a step behind the others. What is in the way of its path stays: the path gets a number, or is shorter."""
        place: nn.Module = self
        folders, last = _clean(path), ""
        while len(folders) > 1:
            inside = place._modules.get(folders[0])
            if type(inside) is not nn.Module and hasattr(place, folders[0]):
                break  # a step, or a name of torch's
            if inside is None:
                place.add_module(folders[0], inside := nn.Module())
            place = inside
            last += f"{folders.pop(0)}."
        wanted, number = "_".join(folders), 1
        name = wanted
        while hasattr(place, name):
            number += 1
            name = f"{wanted}_{number}"
        place.add_module(name, module)
        self.steps.append(Step(last + name, reads, writes))

    def forward(self, *operands: Tensor) -> Any:
        """What the file computes."""
        values = dict(zip(self.inputs, operands, strict=True))
        for step in self.steps:
            values[step.writes] = self.get_submodule(step.path)(*(values[name] for name in step.reads))
        results = tuple(values[name] for name in self.outputs)
        return results[0] if len(results) == 1 else results


def _clean(path: str) -> list[str]:
    """A path of module names, of a node's name with folders: ``/layer1/layer1.0/conv1`` is ``layer1.0.conv1``."""
    folders: list[str] = []
    for folder in path.split("/"):
        if folders and folder.startswith(f"{folders[-1]}."):  # exporters repeat the path of the folder before
            folders.pop()
        folders.append(folder)
    parts = [re.sub(r"\W+", "_", part).strip("_") for folder in folders for part in folder.split(".")]
    return [part for part in parts if part] or ["node"]


def constant(array: Any) -> Tensor:
    """An array as a tensor of its own."""
    return torch.from_numpy(array.copy())
