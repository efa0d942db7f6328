"""Gates on the machine: pooled maps in, masks and index tables out.

The gates of a block are emitted together, so that one unit works on the channel gate while another
works on the spatial gate: the block cannot begin before both are decided.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.access import TABLE_PORT, reads, writes
from gatewright.compiler.emit.bin_averages import average_bins
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.emit.filter_loader import FilterLoader
from gatewright.compiler.emit.following_work import FollowingWork
from gatewright.compiler.emit.gate_work import DRAIN, ChannelWork, SpatialWork
from gatewright.compiler.emit.masks_and_tables import MasksAndTables, masks_of
from gatewright.compiler.emit.placed_maps import SourceMap
from gatewright.compiler.emit.row_tables import RowTables
from gatewright.compiler.emit.sign_bits import sign_bits
from gatewright.compiler.emit.tap_work import TapWork
from gatewright.compiler.emit.wake import Wakes
from gatewright.compiler.graph.graph import QuantisedLayer, TensorShape
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.spatial_gate import QuantisedSpatialGate
from gatewright.compiler.plan.spatial_products import by_taps
from gatewright.contract.arch import MASK_BITS
from gatewright.contract.encodings import TABLE_ENTRIES_PER_BEAT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.index_table import build_table
from gatewright.contract.isa import Opcode, Space
from gatewright.contract.program_parts import GateKind, GateRecord

Gate = QuantisedSpatialGate | QuantisedAverageGate


class GateLowering:
    """Emits gates.

    A gate's first steps may be emitted while the map that it reads is still being written, as far
    as rows of the pooled map are complete (``advance``); ``emit`` does what is left.
    """

    def __init__(self, context: Context, loader: FilterLoader, wakes: Wakes) -> None:
        self.context, self.loader, self._wakes = context, loader, wakes
        self.masks_and_tables = MasksAndTables(context, loader)
        self._begun: dict[str, SpatialWork | TapWork | ChannelWork | FollowingWork] = {}
        self._group_tables: dict[str, dict[int, int]] = {}
        self.row_tables = RowTables(context, self.masks_and_tables.take_table)
        gated = [layer.output_tiles for one in context.image.passes.values() for layer in one.layers]
        self._in_columns = {gate for gate in gated if gate is not None and not context.live}
        """Spatial gates whose tiles lie in one column, too."""

    def advance(self, gate: Gate, rows: int) -> None:
        """Emit the steps of a gate that need no more than the first ``rows`` rows of its pooled map."""
        layer = self.context.out.layer
        if all(self.loader.is_loaded(bank) for bank in gate.banks):
            self.context.out.layer = gate.name
            work = self._work(gate)
            if isinstance(work, SpatialWork):
                others = [other for other in self._begun.values() if isinstance(other, ChannelWork)]
                beside = [other.early_cycles for other in others if other.gate.source == gate.source]
                work.hold(max(0, DRAIN - sum(beside)))
            work.advance(rows)
        self.context.out.layer = layer

    def emit(self, gates: Sequence[QuantisedLayer]) -> None:
        """All gates of a block, the products of one among those of the other.

        A channel gate waits for its hidden layer, and before that for the sum of its pixels if they are summed first.
        The spatial gate is multiplied in these waits, and what is left of it while the channel gate becomes a table.
        """
        context = self.context
        channel = [gate for gate in gates if isinstance(gate, QuantisedAverageGate)]
        spatial = [gate for gate in gates if isinstance(gate, QuantisedSpatialGate)]
        for gate in (each for each in spatial if each.overlap):
            context.out.layer = gate.name
            average_bins(context, gate)
        for each in channel:
            context.out.layer = each.name
            self._channel_work(each).begin()
        for gate in spatial:
            context.out.layer = gate.name
            while self._spatial_work(gate).held:
                self._spatial_work(gate).step()
        works = [self._channel_work(each) for each in channel]
        self._multiply_spatial(spatial, sum(work.sum_cycles for work in works))
        for each, work in zip(channel, works, strict=True):
            context.out.layer = each.name
            work.finish()
        self._multiply_spatial(spatial, sum(work.hidden_cycles for work in works))
        for each in channel:
            context.out.layer = each.name
            mask = self._begun[each.name].mask
            sign_bits(context, self.loader, each, mask)
            kind: GateKind = "spatial" if each.whole else "channel"
            table, entries = self._index(each.name, kind, mask, self.decided(each.name), False)
            grid, tables = (1, 1) if each.whole else (0, 0), self._group_tables[each.name]
            context.gates[each.name] = DecidedGate(
                mask, table, entries, grid=grid, group_tables=tables, whole=each.whole, live=context.live
            )
            if each.whole and context.live and self._finishes_a_shortcut(each.name):
                decided = context.gates[each.name]
                decided.complement_table, _ = self._index(each.name, kind, mask, self.decided(each.name), True)
        self._multiply_spatial(spatial, None)
        for gate in spatial:
            if self._finishes_a_shortcut(gate.name) or gate.name in context.image.zeroed.values():
                context.out.layer = gate.name
                decided = context.gates[gate.name]
                bits = self.decided(gate.name)
                decided.complement_table, decided.complement = self._index(
                    gate.name, "spatial", decided.mask, bits, True
                )
                if gate.name in self._in_columns:
                    column = bits.reshape(-1, 1)
                    decided.column_complement_table, _ = self._index(gate.name, "spatial", decided.mask, column, True)

    def _multiply_spatial(self, gates: Sequence[QuantisedSpatialGate], cycles: int | None) -> None:
        """Steps of spatial gates for so many of the array's cycles, or all; a gate without any left becomes a table."""
        context = self.context
        for gate in gates:
            context.out.layer = gate.name
            work = self._spatial_work(gate)
            while work.left and (cycles is None or cycles > 0):
                taken = work.step()
                cycles = None if cycles is None else cycles - taken
            if not work.left and gate.name not in context.gates:
                self.loader.used(gate.name, 0)
                table, entries = self._index(gate.name, "spatial", work.mask, self.decided(gate.name), False)
                context.gates[gate.name] = DecidedGate(work.mask, table, entries, grid=gate.grid, live=context.live)
                if gate.name in self._in_columns:
                    column = self.decided(gate.name).reshape(-1, 1)
                    context.gates[gate.name].column_table, _ = self._index(
                        gate.name, "spatial", work.mask, column, False, record=False
                    )

    def _work(self, gate: Gate) -> SpatialWork | TapWork | ChannelWork | FollowingWork:
        if gate.name not in self._begun:
            bits = self.decided(gate.name).size
            self._begun[gate.name] = self._make(gate, self._pooled_source(gate), self.masks_and_tables.take_mask(bits))
            self._group_tables[gate.name] = self._load_group_tables(gate.name)
        return self._begun[gate.name]

    def _make(self, gate: Gate, source: SourceMap, mask: int) -> SpatialWork | TapWork | ChannelWork | FollowingWork:
        if isinstance(gate, QuantisedAverageGate):
            if gate.name in self._wakes:
                return FollowingWork(self.context, gate, mask, self._wakes)
            return ChannelWork(self.context, self.loader, gate, source, mask)
        shape = TensorShape(source.channels, source.height, source.width)
        make = TapWork if by_taps(gate, shape, self.context.arch) else SpatialWork
        return make(self.context, self.loader, gate, source, mask)

    def _channel_work(self, gate: QuantisedAverageGate) -> ChannelWork | FollowingWork:
        work = self._work(gate)
        assert isinstance(work, ChannelWork | FollowingWork)
        return work

    def _spatial_work(self, gate: QuantisedSpatialGate) -> SpatialWork | TapWork:
        work = self._work(gate)
        assert not isinstance(work, ChannelWork | FollowingWork)
        return work

    def _pooled_source(self, gate: Gate) -> SourceMap:
        """The pooled map that a gate reads, one pixel per tile; of a masked map it is compact."""
        context = self.context
        if isinstance(gate, QuantisedSpatialGate) and gate.overlap:
            averages = gate.pooled_shape(context.graph)
            address = context.image.addresses[gate.bins_name]
            return SourceMap(address, averages.height, averages.width, averages.channels)
        pooling = next(p for p in context.image.poolings.values() if p.name == gate.source)
        shape, address = pooling.shape(context.graph), context.image.addresses[gate.source]
        if not isinstance(gate, QuantisedAverageGate):
            return SourceMap(address, shape.height, shape.width, shape.channels)
        channels, tiles = context.gate(gate.input_channels), context.gate(gate.input_tiles)
        count = shape.channels if channels is None else len(channels.entries)
        pitch = shape.channels if context.live and channels is not None else 0
        return SourceMap(address, shape.height, shape.width, count, channels, pitch=pitch).masked(tiles)

    def _index(
        self,
        name: str,
        kind: GateKind,
        mask: int,
        decision: npt.NDArray[np.bool_],
        complement: bool,
        record: bool = True,
    ) -> tuple[int, npt.NDArray[np.uint16]]:
        """Emit INDEX; return the table and the entries that it will hold. ``record``: it is the gate's own table."""
        context = self.context
        # What only the machine knows may be all that is on, and all that is off.
        entries = build_table(decision, complement and not context.live)
        if kind == "spatial" and decision.size > MASK_BITS:
            raise GatewrightError(
                f"gate {name}: its {decision.size} tiles do not fit a mask of {MASK_BITS} bits, which a mask of tiles "
                "must; take larger tiles, or smaller images"
            )
        if len(entries) > context.arch.table_entries:
            on = "may be on in a live program" if context.live else "are on for this sample"
            raise GatewrightError(
                f"gate {name}: {len(entries)} of its {decision.size} decisions {on}, and a table "
                f"holds {context.arch.table_entries} (arch {context.arch.name}); raise table_entries"
            )
        table = self.masks_and_tables.take_table(name)
        row = context.out.emit(
            Opcode.INDEX,
            [reads("mask", mask, mask + masks_of(decision.size)), writes("table", table, table + 1), TABLE_PORT],
            mask=mask,
            bits=decision.size,
            grid_width=decision.shape[1] if decision.ndim == 2 else 0,
            table=table,
            complement=int(complement),
        )
        if record and not complement:
            bits = () if context.live else tuple(int(bit) for bit in decision.reshape(-1))
            table_entries = () if context.live else tuple(int(entry) for entry in entries)
            context.records.append(GateRecord(name, kind, mask, decision.size, bits, table_entries, row))
        return table, entries

    def _load_group_tables(self, gate: str) -> dict[int, int]:
        """For filters that a gate picks from loaded groups: the tables of their numbers in the group, by its size.

        They are what the gate will decide, and come from DRAM early: INDEX knows only numbers in the whole bank.
        """
        context, tables = self.context, dict[int, int]()
        entries = build_table(self.decided(gate), False)
        banks = [bank for bank in context.image.banks.values() if bank.picked and bank.output_gate == gate]
        for size in sorted({bank.group for bank in banks} if len(entries) else ()):
            table = tables[size] = self.masks_and_tables.take_table(gate)
            context.out.emit(
                Opcode.LOAD,
                [writes("table", table, table + 1), TABLE_PORT],
                dram_address=context.listings.add(entries % size),
                space=Space.TABLE,
                address=table,
                rows=1,
                row_beats=-(-len(entries) // TABLE_ENTRIES_PER_BEAT),
                count=len(entries),
            )
        return tables

    def decided(self, name: str) -> npt.NDArray[np.bool_]:
        """A gate's decisions, or of a live program those of a gate that is on everywhere."""
        if name not in self.context.decisions:
            raise GatewrightError(f"no decision for gate {name}; run the integer reference on the sample first")
        return self.context.decisions[name]

    def _finishes_a_shortcut(self, gate: str) -> bool:
        """Whether a shortcut must be finished where the gate is off."""
        image = self.context.image
        return any(
            isinstance(layer, QuantisedConv)
            and (completer := image.completer(layer)) is not None
            and completer.output_tiles == gate
            for layer in self.context.graph.layers
        )
