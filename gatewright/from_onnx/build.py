"""From an ONNX model to a torch network: constants are folded, and each other node becomes a module."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.from_onnx.folding import fold, folds
from gatewright.from_onnx.hints import hint_for
from gatewright.from_onnx.model import Array, Model, Node, Unit, float32
from gatewright.from_onnx.network import Function, OnnxNetwork
from gatewright.from_onnx.orders import LAST, Order, channels_last, of_file


@dataclass(frozen=True)
class Padded:
    """What ``node`` puts round the map ``source``: rows and columns before and behind it, of one number.

    ``filler`` is that number, or None where the pixels at the map's edges are repeated.
    """

    node: Node
    source: str
    before: list[int]
    behind: list[int]
    filler: float | None


Handler = Callable[["Builder", Node], None]
"""Appends what a node computes to the builder's network."""


class Builder:
    """A network in the making.

    ``known`` has the constants by name, ``live`` what the nodes give for an image of zeros: shapes and types. ``alias``
    has names that stand for others, ``makers`` and ``operations`` the modules and ONNX's names of them by what they
    write, ``padded`` maps with something round them that nobody has written yet, ``units`` what is known of quantised
    weights, ``positive`` maps without negative numbers, ``notes`` what a person should know. ``orders`` says of the
    file's names which maps have their dimensions in another order there, ``columns`` of vectors where their numbers are
    here (``layout``), ``blue_first`` what the file has from blue to red (``red_first``).
    """

    def __init__(self, model: Model, symmetric: bool = False, as_float: bool = False, bgr: bool = False) -> None:
        self.model, self.symmetric, self.as_float = model, symmetric, as_float
        self.network = OnnxNetwork(model.inputs)
        self.known: dict[str, Array] = {name: float32(array) for name, array in model.constants.items()}
        self.live: dict[str, Tensor] = {
            name: torch.zeros(shape, dtype=torch.bool if name in model.decisions else torch.float32)
            for name, shape in model.inputs.items()
        }
        self.alias: dict[str, str] = {}
        self.makers: dict[str, nn.Module] = {}
        self.operations: dict[str, str] = {}
        self.readers: dict[str, int] = {}
        self.notes: list[str] = []
        self.padded: dict[str, Padded] = {}
        self.units: dict[str, Unit] = {}
        self.scales: dict[str, tuple[Array, Array]] = {}
        self.coarser: list[str] = []
        self.positive: set[str] = set()
        self.orders: dict[str, Order] = {}
        self.columns: dict[str, Array] = {}
        self.blue_first: set[str] = set(model.inputs) if bgr else set()
        for name, shape in model.inputs.items():
            if len(shape) == 4 and channels_last(model, name):
                self.orders[name] = LAST
                self.live[name] = self.live[name].permute(0, 3, 1, 2)
                self.note(f"image {name} has its channels last in the file; the program takes them first")
        for node in model.nodes:
            for name in node.reads:
                self.readers[name] = self.readers.get(name, 0) + 1
        for name in model.outputs:
            self.readers[name] = self.readers.get(name, 0) + 1

    def build(
        self, handlers: dict[str, Handler], finish: Callable[[Builder], None] = lambda build: None
    ) -> OnnxNetwork:
        """Take all nodes, and ``finish`` what they give.

        Raises
        ------
        GatewrightError
            An operation, or a form of it, that the machine has no layer for: the message names the node.
        """
        for node in self.model.nodes:
            for name in node.reads:
                if name and self.named(name) not in self.known and self.named(name) not in self.live:
                    self.fail(node, f"it reads {name}, which nothing writes before it")
            if node.op == "Shape" and self.named(node.reads[0]) in self.live:
                shape = tuple(self.value(node, 0).shape)
                if node.reads[0] in self.orders:
                    shape = tuple(of_file(self.orders[node.reads[0]], shape))
                end = node.attributes.get("end", len(shape))
                self.known[node.writes[0]] = np.array(shape[node.attributes.get("start", 0) : end], np.int64)
            elif all(self.named(name) in self.known for name in node.reads if name) and folds(node):
                self._fold(node)
            elif node.op not in handlers:
                self.fail(
                    node,
                    f"this operation is not supported. {hint_for(node)} Supported are {', '.join(sorted(handlers))}",
                )
            else:
                handlers[node.op](self, node)
        finish(self)
        for name in self.model.outputs:
            if self.named(name) in self.known:
                raise GatewrightError(f"output {name} of the file does not depend on the image")
        self.network.outputs = tuple(self.named(name) for name in self.model.outputs)
        return self.network.eval()

    # What a handler asks for

    def fail(self, node: Node, reason: str) -> NoReturn:
        """Refuse the file: say where and why."""
        raise GatewrightError(f"{node.where}: {reason}")

    def named(self, name: str) -> str:
        """The name that a tensor has in the network."""
        while name in self.alias:
            name = self.alias[name]
        return name

    def has(self, node: Node, place: int) -> bool:
        """Whether a node has an operand."""
        return place < len(node.reads) and node.reads[place] != ""

    def is_known(self, node: Node, place: int) -> bool:
        """Whether an operand is a constant."""
        return self.named(node.reads[place]) in self.known

    def constant(self, node: Node, place: int, what: str) -> Array:
        """An operand that must be a constant."""
        if not self.is_known(node, place):
            self.fail(node, f"{what} ({node.reads[place]}) depends on the image; it must be a constant of the file")
        return self.known[self.named(node.reads[place])]

    def optional(self, node: Node, place: int, attribute: str) -> Any:
        """What newer opsets give as an operand and older ones as an attribute."""
        return self.constant(node, place, attribute) if self.has(node, place) else node.attributes.get(attribute)

    def integers(self, node: Node, place: int, attribute: str) -> list[int] | None:
        """As ``optional``: a list of integers."""
        given = self.optional(node, place, attribute)
        values = np.asarray([] if given is None else given)
        if values.size and (values.ndim > 1 or values.dtype.kind not in "iu"):
            self.fail(node, f"its {attribute} are {values.dtype} {list(values.shape)}; they must be a list of integers")
        return None if given is None else [int(value) for value in values.reshape(-1)]

    def number(self, node: Node, place: int, attribute: str) -> float | None:
        """As ``optional``: a real number."""
        given = self.optional(node, place, attribute)
        if given is None:
            return None
        values = np.asarray(given)
        if values.size != 1 or values.dtype.kind not in "fiub":
            self.fail(node, f"its {attribute} is {values.dtype} {list(values.shape)}; it must be a real number")
        return float(values.reshape(-1)[0])

    def value(self, node: Node, place: int) -> Tensor:
        """What an operand is for an image of zeros; only its shape and type say anything."""
        if not self.has(node, place):
            self.fail(node, f"it has no operand {place}")
        if self.is_known(node, place):
            self.fail(node, f"its operand {node.reads[place]} is a constant, where a feature map is supported")
        return self.live[self.named(node.reads[place])]

    def map_of(self, node: Node) -> Tensor:
        """The first operand, which must be a feature map [1, channels, rows, columns]."""
        value = self.value(node, 0)
        if value.dim() != 4:
            self.fail(node, f"it reads a tensor {list(value.shape)}; supported are feature maps, of four dimensions")
        return value

    def note(self, text: str) -> None:
        """Keep what a person should know about how the file was taken."""
        if text not in self.notes:
            self.notes.append(text)

    def append(
        self, node: Node, module: nn.Module, *places: int, reads: tuple[str, ...] | None = None, path: str = ""
    ) -> None:
        """Put a module for the node behind the others.

        It reads the operands at ``places``, by default the first, or the tensors ``reads``.
        """
        reads = reads or tuple(self.named(node.reads[place]) for place in places or (0,))
        for name in reads:
            if name in self.padded:
                self._write_pad(name)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = module(*(self.live[name] for name in reads))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            self.fail(node, f"it cannot be computed for one image ({reason}); export the file for a batch of one")
        self.live[node.writes[0]] = result
        self.makers[node.writes[0]], self.operations[node.writes[0]] = module, node.op
        self.network.append(path or node.name or node.writes[0], module, reads, node.writes[0])

    def apply(self, node: Node, function: Callable[..., Tensor], *places: int) -> None:
        """Put a function without weights behind the others."""
        self.append(node, Function(function), *places)

    def pad(self, node: Node, before: list[int], behind: list[int], filler: float | None) -> None:
        """Put rows and columns round a map, which nobody writes if only convolutions and max pools read it."""
        source = self.named(node.reads[0])
        (top, left), (bottom, right) = before, behind
        if source in self.padded:
            self._write_pad(source)
        self.live[node.writes[0]] = F.pad(self.live[source], (left, right, top, bottom))
        self.padded[node.writes[0]] = Padded(node, source, before, behind, filler)

    def without_pad(self, node: Node, takes: Callable[[Padded], bool]) -> tuple[str, tuple[list[int], list[int]]]:
        """What a node's first operand is without its pad, if the node takes it; its rows and columns."""
        name = self.named(node.reads[0])
        pad = self.padded.get(name)
        if pad is None or not takes(pad):
            return name, ([0, 0], [0, 0])
        return pad.source, (pad.before, pad.behind)

    def never_negative(self, name: str) -> bool:
        """Whether a map of the network has no negative number: it is a ReLU's, or made of such by what keeps signs."""
        name = self.named(name)
        if name in self.positive:
            return True
        step = next((step for step in self.network.steps if step.writes == name), None)
        keeps = self.operations.get(name) in ("MaxPool", "AveragePool", "GlobalAveragePool", "QuantizeLinear", "Concat")
        return step is not None and keeps and all(map(self.never_negative, step.reads))

    def _write_pad(self, name: str) -> None:
        pad = self.padded.pop(name)
        (top, left), (bottom, right) = pad.before, pad.behind
        if pad.filler != 0:
            what = "with what is at the edges" if pad.filler is None else f"with {pad.filler:g}"
            self.fail(pad.node, f"it pads {what}, and not before a max pool alone; the machine pads with zeros")
        self.append(pad.node, Function(lambda x: F.pad(x, (left, right, top, bottom))), reads=(pad.source,))

    def same(self, node: Node) -> None:
        """The node changes nothing: its result is its first operand."""
        self.alias[node.writes[0]] = node.reads[0]

    def alone(self, name: str) -> bool:
        """Whether a node that reads a tensor by this name is the only one that reads it by any."""
        while self.readers.get(name, 1) == 1 and name in self.alias:
            name = self.alias[name]
        return self.readers.get(name, 1) == 1

    def derived(self, name: str, how: str, array: Array) -> str:
        """A constant made of another one: its name."""
        made = f"{name} {how}"
        self.known[made] = array
        return made

    def unit_of(self, node: Node, place: int, axis: int) -> Array | None:
        """The value of one unit of each filter, if the file quantises the weights along their ``axis``."""
        unit = self.units.get(self.named(node.reads[place]))
        if unit is None:
            return None
        count = self.known[self.named(node.reads[place])].shape[axis]
        if unit.scale.size > 1 and (unit.axis % self.known[self.named(node.reads[place])].ndim) != axis:
            self.fail(
                node,
                f"its weights {node.reads[place]} have scales along dimension {unit.axis}; the "
                "machine has one for each "
                "filter, or one for all",
            )
        return np.ascontiguousarray(np.broadcast_to(unit.scale.reshape(-1), (count,)), np.float32)

    def path_of(self, node: Node, place: int) -> str:
        """The path of a module that has an operand as its ``weight``, by the operand's name."""
        name = node.reads[place] if self.has(node, place) else ""
        if name.endswith(".weight"):
            return name.removesuffix(".weight")
        return node.name.removesuffix(f"/{node.op}") or node.writes[0]

    def _fold(self, node: Node) -> None:
        """Compute a node that reads constants alone; what is turned keeps its scales."""
        operands = {name: self.known[self.named(name)] for name in node.reads if name}
        self.known.update(fold(self.model, node, operands))
        unit = self.units.get(self.named(node.reads[0])) if node.op == "Transpose" else None
        if unit is not None:
            dimensions = operands[node.reads[0]].ndim
            order = list(node.attributes.get("perm", range(dimensions)[::-1]))
            self.units[node.writes[0]] = Unit(unit.scale, order.index(unit.axis % dimensions))
