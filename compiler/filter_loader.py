"""Filters on their way into the weight buffer: loaded in order of use, ahead of their layer."""

from __future__ import annotations

from gatewright.arch import BEAT_BYTES
from gatewright.compiler.allocate import Ring
from gatewright.compiler.context import Context
from gatewright.compiler.emit import reads, writes
from gatewright.compiler.graph import Pooling, QuantisedChannelGate, QuantisedLayer
from gatewright.compiler.layout import slices_of
from gatewright.compiler.network_image import FilterBank
from gatewright.errors import GatewrightError
from gatewright.isa import NO_TABLE, Opcode

AHEAD = 5
"""Layers whose filters may be loaded before it is their turn. More would fill LOAD's queue and hold up the sequencer."""


class FilterLoader:
    """Places filter banks in the weight buffer's ring and emits their LOADs."""

    def __init__(self, context: Context) -> None:
        self.context = context
        arch = context.arch
        self.ring = Ring(arch.weight_words, "weight buffer")
        layers = [layer for layer in context.graph.layers if not isinstance(layer, Pooling)]
        self.turn = {layer.name: number for number, layer in enumerate(layers)}
        self._pending = [(self.turn[layer.name], bank) for layer in layers for bank in self.banks_of(layer)]

    def banks_of(self, layer: QuantisedLayer) -> list[FilterBank]:
        """The filter banks of a layer, in order of use."""
        names = [layer.name]
        if isinstance(layer, QuantisedChannelGate):
            names.insert(0, f"{layer.name}.hidden")
        return [self.context.image.banks[name] for name in names]

    def load_until(self, turn: int) -> None:
        """Load the filters of layers up to number ``turn``, while there is room and their gate is decided."""
        while self._pending and self._pending[0][0] <= turn:
            bank = self._pending[0][1]
            if bank.gate is not None and bank.gate not in self.context.gates:
                return
            if not self._load(bank):
                return
            self._pending.pop(0)

    def base(self, name: str) -> int:
        """The weight buffer word of a loaded bank."""
        if name not in self.ring.live:
            arch = self.context.arch
            raise GatewrightError(
                f"arch {arch.name}: the weight buffer of {arch.weight_kib} KiB cannot hold the filters of {name} "
                "beside those in use; raise weight_kib"
            )
        return self.ring.live[name][0]

    def release(self, layer: QuantisedLayer) -> None:
        """The layer's instructions are all emitted."""
        for bank in self.banks_of(layer):
            self.ring.release(bank.name)

    def _load(self, bank: FilterBank) -> bool:
        gate = self.context.gate(bank.gate)
        rows = bank.rows if gate is None else len(gate.entries)
        slices = bank.slices if gate is None else slices_of(bank.taps * rows, self.context.arch)
        base = self.ring.take(bank.name, slices * bank.vectors)
        if base is None:
            return False
        if rows == 0:
            return True
        accesses = [writes("weight", base, base + slices * bank.vectors)]
        if gate is not None:
            accesses.append(reads("table", gate.table, gate.table + 1))
        self.context.out.emit(
            Opcode.LOAD,
            accesses,
            dram_address=bank.address,
            space=bank.space,
            address=base // 4,
            rows=bank.rows,
            row_beats=bank.row_beats,
            row_stride=bank.row_beats * BEAT_BYTES,
            row_table=NO_TABLE if gate is None else gate.table,
            vectors=bank.vectors,
            taps=bank.taps,
            count=bank.slices,
        )
        return True
