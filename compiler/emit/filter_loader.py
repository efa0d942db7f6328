"""Filters on their way into the weight buffer: loaded in order of use, ahead of their layer."""

from __future__ import annotations

from gatewright.compiler.emit.context import Context, addressable_words
from gatewright.compiler.emit.emit import reads, writes
from gatewright.compiler.graph.graph import QuantisedLayer
from gatewright.compiler.plan.allocate import Ring
from gatewright.compiler.plan.layout import slices_of
from gatewright.compiler.plan.network_image import PARAMETER_PIECE, FilterBank
from gatewright.contract.arch import BEAT_BYTES, PARAMETER_BYTES
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import NO_TABLE, Opcode, Space

AHEAD = 5
"""Layers whose filters may be loaded before it is their turn. More would fill LOAD's queue and stop the sequencer."""


class FilterLoader:
    """Places filter banks in the weight buffer's ring and emits their LOADs."""

    def __init__(self, context: Context) -> None:
        self.context = context
        arch = context.arch
        self.ring = Ring(addressable_words(arch.weight_words, "weight_base"), "weight buffer")
        self.layers = [layer for layer in context.graph.layers if layer.banks]
        self.turn = {layer.name: number for number, layer in enumerate(self.layers)}
        self._pending = [(self.turn[layer.name], bank) for layer in self.layers for bank in self.banks_of(layer)]
        self._parameters = 0
        self._short = "", ""
        """The buffer that held up the last load that was not emitted, and its key in the architecture."""
        self._unreleased = [bank.name for _, bank in self._pending]

    def banks_of(self, layer: QuantisedLayer) -> list[FilterBank]:
        """The filter banks of a layer, in order of use."""
        return [self.context.image.banks[name] for name in layer.banks]

    def load_until(self, turn: int) -> None:
        """Load the filters of layers up to number ``turn``, while there is room and their gate is decided."""
        while self._pending and self._pending[0][0] <= turn:
            turn_of_bank, bank = self._pending[0]
            if bank.gate is not None and bank.gate not in self.context.gates:
                return
            if self._skipped(turn_of_bank):
                self._pending.pop(0)
                continue
            if not self._load_parameters(self.context.image.parameter_end[bank.name]):
                return
            if not self._load(bank):
                return
            self._pending.pop(0)

    def is_loaded(self, name: str) -> bool:
        """Whether the LOAD of a bank has been emitted."""
        return name in self.ring.live

    def base(self, name: str) -> int:
        """The weight buffer word of a loaded bank."""
        if name not in self.ring.live:
            arch = self.context.arch
            buffer, key = self._short
            raise GatewrightError(
                f"arch {arch.name}: the {buffer} cannot hold what {name} needs beside what is in use; raise {key}"
            )
        return self.ring.live[name][0]

    def release(self, layer: QuantisedLayer) -> None:
        """The layer's instructions are all emitted."""
        for bank in self.banks_of(layer):
            self.ring.release(bank.name)
            self._unreleased.remove(bank.name)

    def _skipped(self, turn: int) -> bool:
        """Whether no tile of the layer is active, so that its filters are not needed."""
        gate = self.layers[turn].tile_gate
        return gate in self.context.gates and not len(self.context.gates[gate].entries)

    def _load_parameters(self, end: int) -> bool:
        """Load the epilogue's parameters up to an entry, in pieces; False while those in use are in the way."""
        image = self.context.image
        in_use = min(image.parameter_start[name] for name in self._unreleased)
        while self._parameters < end:
            first = self._parameters
            piece = (first // PARAMETER_PIECE + 1) * PARAMETER_PIECE  # aligned, so that no piece wraps around
            last = min(piece, image.parameters) if first else image.first_parameters
            if last - in_use > image.parameter_capacity:
                self._short = f"parameter buffer of {image.parameter_capacity} entries", "parameter_entries"
                return False
            address = first % image.parameter_capacity
            self.context.out.emit(
                Opcode.LOAD,
                [writes("parameter", address, address + last - first)],
                dram_address=image.parameter_address + first * PARAMETER_BYTES,
                space=Space.PARAMETERS,
                address=address,
                rows=1,
                row_beats=-(-(last - first) * PARAMETER_BYTES // BEAT_BYTES),
            )
            self._parameters = last
        return True

    def _load(self, bank: FilterBank) -> bool:
        gate = self.context.gate(bank.gate)
        rows = bank.rows if gate is None else len(gate.entries)
        slices = bank.slices if gate is None else slices_of(bank.taps * rows, self.context.arch)
        base = self.ring.take(bank.name, slices * bank.vectors)
        if base is None:
            self._short = f"weight buffer of {self.context.arch.weight_kib} KiB", "weight_kib"
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
            address=base // REGION_UNIT,
            rows=bank.rows,
            row_beats=bank.row_beats,
            row_stride=bank.row_beats * BEAT_BYTES,
            row_table=NO_TABLE if gate is None else gate.table,
            vectors=bank.vectors,
            taps=bank.taps,
            count=bank.slices,
        )
        return True
