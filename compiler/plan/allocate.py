"""Where things lie: feature maps in the scratchpad, operand regions in their rings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from gatewright.compiler.graph.graph import QuantisedGraph
from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError

REGION_GRANULE = 16
"""Words in which regions of an operand buffer begin and end; what is noted of their users is noted of as many."""

SLACK_BYTES = 64
"""Around every map: the gather's four banks may read beyond a run; nothing of it is used."""


@dataclass
class _Buffer:
    """A piece of scratchpad that one or more tensors share, from its first writer to its last reader."""

    names: list[str]
    size: int
    first: int
    last: int
    address: int = -1


def _uses(graph: QuantisedGraph) -> dict[str, list[int]]:
    """Layer numbers at which each scratchpad tensor is written or read."""
    uses: dict[str, list[int]] = {graph.input: [-1]}
    for number, layer in enumerate(graph.layers):
        for name in (*layer.reads, *layer.writes):
            uses.setdefault(name, []).append(number)
    return uses


def allocate_scratchpad(graph: QuantisedGraph, arch: ArchConfig, input_size: int) -> dict[str, int]:
    """Byte addresses of every tensor, pooled map and hidden vector; residual chains share one buffer.

    ``input_size`` is that of the input as it is laid out, in bytes.

    A pooled map shares the buffer of the pooled map of its source's residual: inactive tiles keep
    their average there.
    """
    uses, sizes = _uses(graph), {graph.input: input_size}
    for layer in graph.layers:
        sizes |= layer.sizes(graph)
    owner: dict[str, _Buffer] = {}

    def share(name: str, other: str | None) -> None:
        first, last = min(uses[name]), max(uses[name])
        if other is not None and other in owner:
            buffer = owner[other]
            buffer.names.append(name)
            buffer.last = max(buffer.last, last)
            buffer.size = max(buffer.size, sizes[name])
        else:
            buffer = _Buffer([name], sizes[name], first, last)
        owner[name] = buffer

    share(graph.input, None)
    for layer in graph.layers:
        for tensor in layer.writes:
            share(tensor, layer.in_place_of(graph))
    for layer in graph.layers:
        for tensor in layer.writes:
            begun = [min(uses[other]) for other in layer.begun_with(graph)]
            owner[tensor].first = min(owner[tensor].first, *begun) if begun else owner[tensor].first
    placed: list[_Buffer] = []
    for buffer in {id(b): b for b in owner.values()}.values():
        _place(buffer, placed, arch)
    return {name: buffer.address for name, buffer in owner.items()}


def _place(buffer: _Buffer, placed: list[_Buffer], arch: ArchConfig) -> None:
    """First fit among the buffers that live at the same time."""
    size = -(-(buffer.size + SLACK_BYTES) // BEAT_BYTES) * BEAT_BYTES
    address = SLACK_BYTES
    alive = [b for b in placed if b.first <= buffer.last and buffer.first <= b.last]
    for other in sorted(alive, key=lambda b: b.address):
        if address + size <= other.address:
            break
        end = other.address + -(-(other.size + SLACK_BYTES) // BEAT_BYTES) * BEAT_BYTES
        address = max(address, end)
    if address + size > arch.scratchpad_bytes:
        raise GatewrightError(
            f"arch {arch.name}: the scratchpad of {arch.scratchpad_kib} KiB cannot hold tensor {buffer.names[0]} "
            f"({buffer.size} bytes) beside what lives with it; raise scratchpad_kib"
        )
    buffer.address = address
    placed.append(buffer)


@dataclass
class Ring:
    """Consecutive regions of an operand buffer, reused in order; live regions are never overlapped."""

    size: int
    what: str
    live: dict[str, tuple[int, int]] = field(default_factory=dict)
    _next: int = 0

    def take(self, name: str, words: int) -> int | None:
        """The base of a region of ``words`` words, or None while live regions are in the way."""
        words = -(-words // REGION_GRANULE) * REGION_GRANULE
        if words > self.size:
            raise GatewrightError(
                f"{name} needs {words} words of the {self.what}, which has {self.size}; use an arch with a larger one"
            )
        base = self.place(words, self.live)
        if base is not None:
            self.live[name] = (base, base + words)
            self._next = base + words
        return base

    def place(self, words: int, beside: Iterable[str]) -> int | None:
        """The base that ``take`` would choose if only the regions ``beside`` were live."""
        words = -(-words // REGION_GRANULE) * REGION_GRANULE
        for base in (self._next, 0):
            high = base + words
            if high <= self.size and not any(
                low < high and base < end for low, end in (self.live[name] for name in beside)
            ):
                return base
        return None

    def release(self, name: str) -> None:
        """Nothing after this point in the program reads the region."""
        self.live.pop(name, None)
