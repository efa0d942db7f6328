"""What gates of every kind have in common once they are integers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from gatewright.compiler.graph.graph import QuantisedLayer
from gatewright.contract.arithmetic import gate_decision
from gatewright.contract.program_parts import LayerKind

if TYPE_CHECKING:
    from gatewright.compiler.emit.lower import Lowering


def decided(logits: Tensor, strict: bool) -> Tensor:
    """A gate's decisions in floating point: ``logits >= 0``, or ``logits > 0`` if ``strict``.

    In integers the bias of a strict gate is lower by 1.
    """
    return ~gate_decision(-logits) if strict else gate_decision(logits)


@dataclass(frozen=True)
class QuantisedGate(QuantisedLayer):
    """A layer that decides what of others is skipped; the dense baseline has none."""

    @property
    @abstractmethod
    def decision_shape(self) -> tuple[int, ...]:
        """Of its decision on one image: [grid height, grid width] or [channels]."""

    def without_gates(self) -> None:
        return None

    @property
    def role(self) -> LayerKind:
        return "gate"

    def joins(self, before: QuantisedLayer) -> bool:
        """The gates of a block are emitted together."""
        return isinstance(before, QuantisedGate)

    def lower(self, lowering: Lowering, group: Sequence[QuantisedLayer]) -> None:
        lowering.gates.emit(group)
