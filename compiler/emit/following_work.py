"""A channel gate whose vector is multiplied in the wake of the convolution that writes the map that it looks at."""

from __future__ import annotations

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.gate_work import WAIT_CYCLES
from gatewright.compiler.emit.wake import Wakes
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.contract.isa import EpilogueKind

BESIDE = 3, 4
"""What filters that wait for a channel gate's last products and a spatial gate's may take of the weight buffer."""


class FollowingWork:
    """As ``ChannelWork``, of a gate whose vector is multiplied in the wake of the convolution that writes the map."""

    early_cycles = 0
    """Nothing of it is gathered early."""

    def __init__(self, context: Context, gate: QuantisedAverageGate, mask: int, wakes: Wakes) -> None:
        self.context, self.gate, self.mask, self._wakes = context, gate, mask, wakes
        spatial = [context.image.banks[la.name] for la in context.graph.layers if isinstance(la, QuantisedSpatialGate)]
        self._beside = max((bank.pieces[0].count * bank.vectors for bank in spatial), default=0)

    def advance(self, rows: int) -> None:
        """Nothing: channels are complete one after the other, not rows."""

    def begin(self) -> None:
        """Sum the channels that are left; multiply them where their filters would be in a spatial gate's way."""
        wake, (words, of) = self._wakes.of(self.gate.name), BESIDE
        wake.sum(len(self.gate.average_weight[0]))
        if (wake.words_left + self._beside) * of > words * self.context.arch.weight_words:
            wake.finish()

    @property
    def sum_cycles(self) -> int:
        """The array's cycles that a spatial gate may have before the last products."""
        return WAIT_CYCLES

    @property
    def hidden_cycles(self) -> int:
        """The array's cycles that it may have behind them."""
        return WAIT_CYCLES

    def finish(self) -> None:
        """Multiply what is left, requantise."""
        wake, address = self._wakes.of(self.gate.name), self.context.image.addresses[self.gate.vector_name]
        wake.finish()
        wake.reduce(EpilogueKind.REDUCE, address, self.gate.relu)
