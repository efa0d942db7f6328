"""Filters on their way into the weight buffer: loaded in order of use, ahead of their layer."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.filter_load import emit_load, group_vectors, picked_rows, piece_words, used_filters
from gatewright.compiler.emit.filter_order import FilterOrder
from gatewright.compiler.emit.filter_room import FilterRoom
from gatewright.compiler.emit.filter_use import Use, Weights, region_name
from gatewright.compiler.emit.parameter_loader import ParameterLoader
from gatewright.compiler.graph.graph import QuantisedLayer
from gatewright.compiler.kinds.average_gate import QuantisedAverageGate
from gatewright.compiler.plan.filters import FilterBank, Slices
from gatewright.contract.errors import GatewrightError

AHEAD = 5
"""Layers whose filters may be loaded before it is their turn. More would fill LOAD's queue and stop the sequencer."""

MOST_BESIDE = 4
"""Pieces that are loaded before others whose turn it is, for which there is no room."""

PIECES_AHEAD = 8
"""Pieces of streamed filters that may be loaded before it is their turn, for the same reason."""


class FilterLoader:
    """Places filter banks in the weight buffer's ring and emits their LOADs.

    A resident bank is loaded once, a streamed one piece by piece for each of its uses (``serial``): as often as
    the plan goes through the layer's filters.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.room = FilterRoom(context)
        self.order = FilterOrder(context)
        self.turn, self.banks_of = self.order.turn, self.order.banks_of
        self._parameters = ParameterLoader(context)
        whole = {la.name for la in self.order.layers if isinstance(la, QuantisedAverageGate) and la.whole}
        whole = set() if context.live else whole
        self._follows = {bank: la.tile_gate for la in self.order.layers if la.tile_gate in whole for bank in la.banks}
        """The gates of whole maps without whose decision banks are not loaded; a live program loads them anyhow."""
        self._made = frozenset(context.not_stored)
        """The banks that the program itself brings to DRAM."""
        self._horizon = -1
        in_dram = {*context.image.passes, *context.image.by_rows} if context.live else set()
        self._held = in_dram & self.turn.keys()
        """Layers behind which no filters come until what their maps in DRAM bring first is on its way; see `begun`."""
        self.last_turn = len(self.order.layers)
        """The last layer that the program has."""
        self._short = "", ""
        """The buffer that held up the last load that was not emitted, and its key in the architecture."""
        self._beside: list[str] = []
        self._unreleased = [bank.name for layer in self.order.layers for bank in self.banks_of(layer)]

    def filters_of(self, bank: FilterBank) -> int:
        """Filters that are used of a bank: all, or those of the table that picks its rows."""
        return used_filters(self.context, bank)

    def load_until(self, turn: int) -> None:
        """Load the filters of layers up to number ``turn``, while there is room and their gate is decided."""
        self._horizon = min([turn, self.last_turn, *(self.turn[layer] for layer in self._held)])
        while self.order.pending and self._may_load(use := self.order.pending[0]):
            if not self._skipped(use.tile_gate):
                if not self._load_parameters(use.bank):
                    return
                if not self._load_pieces(use):
                    self._load_beside(use)
                    return
            self.order.pending.popleft()

    def begun(self, layers: Sequence[QuantisedLayer]) -> None:
        """The first rows or tiles of a pass over maps in DRAM are on their way: filters of later layers may follow.

        Ahead of them those would keep the bus from what the array waits for. A replayed program has filters that
        are fewer: it would gain 0.05% of ResNet-50, and nothing of ResNet-18.
        """
        if names := self._held & {layer.name for layer in layers}:
            self._held -= names
            self.load_until(self.turn[layers[-1].name] + AHEAD)

    def _may_load(self, use: Use) -> bool:
        """Whether it is time for a use, and known which filters and in which order."""
        decided = use.bank.gate is None or use.bank.gate in self.context.gates
        follows = self._follows.get(use.bank.name)
        decided = decided and (follows is None or follows in self.context.gates)
        stored = use.bank.name not in self.context.not_stored
        return use.turn <= self._horizon and use.serial >= 0 and decided and stored

    def _load_beside(self, head: Use) -> None:
        """While the head's next group has no room: a piece of what comes behind it, where no group of its could lie.

        One at a time, since the head's next LOAD waits for it.
        """
        words = piece_words(self.context, head)
        use = self.order.pending[1] if len(self.order.pending) > 1 else head
        if (
            self.room.take_turns(head.bank)
            or use.bank is head.bank
            or not self._may_load(use)
            or self._skipped(use.tile_gate)
        ):
            return
        if self.room.ring.place(words, self.room.ring.live) is not None:
            return
        if not self._load_parameters(use.bank):
            return
        region = use.region
        beside = [name for name in self._beside if name in self.room.ring.live]
        room = len(beside) < MOST_BESIDE and self.room.ring.leaves_room(words, piece_words(self.context, use), beside)
        if room and self._load(use):
            self._beside = [*beside, region]
            if use.advance(self.filters_of(use.bank)):
                self.order.pending.remove(use)

    def schedule(self, layers: Sequence[QuantisedLayer], uses: list[tuple[str, int]], ends: bool = False) -> None:
        """As ``FilterOrder.schedule``; what may come now is loaded."""
        self.order.schedule(layers, uses, ends)
        self.load_until(self._horizon)

    def is_loaded(self, name: str) -> bool:
        """Whether the LOAD of a resident bank, or of the first piece of a streamed one, has been emitted."""
        bank = self.context.image.banks[name]
        return region_name(bank, 0, 0, 0) in self.room.ring.live

    def weights(self, name: str, group: int = 0, piece: int = 0, serial: int = 0) -> Weights:
        """A piece of a group of a bank; group and piece are 0 for a resident one."""
        bank = self.context.image.banks[name]
        if not bank.streamed:
            group = piece = 0
        region = region_name(bank, serial, group, piece)
        if region not in self.room.ring.live:
            self.load_until(self._horizon)
        if region not in self.room.ring.live:
            self._load_now(bank, serial, region)
        if region not in self.room.ring.live:
            arch = self.context.arch
            buffer, key = self._short
            raise GatewrightError(
                f"arch {arch.name}: the {buffer} cannot hold what {name} needs beside what is in use; raise {key}"
            )
        vectors = group_vectors(self.context, bank, group)
        return Weights(self.room.base(region), vectors, bank.pieces_in(group)[piece].first)

    def still_needed(self, name: str, group: int, serial: int, slices: Slices) -> None:
        """Of a group that takes turns with others the products that are left read no more than these slices."""
        bank = self.context.image.banks[name]
        region = region_name(bank, serial, group, 0)
        self.room.shrink(region, slices, group_vectors(self.context, bank, group))
        self.load_until(self._horizon)

    def parameters(self, name: str, group: int, serial: int) -> int | None:
        """The entry of a loaded group's first filter; None if the layer's parameters do not come by groups."""
        return self._parameters.first_entry(name, region_name(self.context.image.banks[name], serial, group, 0))

    def _load_now(self, bank: FilterBank, serial: int, region: str) -> None:
        """Load what is needed at once before what is ahead of it, or is more than may be loaded ahead."""
        wanted = serial if bank.streamed else 0
        while region not in self.room.ring.live:
            use = next((use for use in self.order.pending if use.bank is bank and use.serial == wanted), None)
            if use is None or not self._load_parameters(bank) or not self._load(use):
                return
            if use.advance(self.filters_of(bank)):
                self.order.pending.remove(use)

    def used(self, name: str, group: int, serial: int = 0) -> None:
        """The last MATMUL of a streamed group is emitted: it may give way, and others follow."""
        bank = self.context.image.banks[name]
        if bank.streamed:
            for piece in range(len(bank.pieces_in(group))):
                self._release(region_name(bank, serial, group, piece))
            self.load_until(self._horizon)

    def used_piece(self, name: str, piece: int, group: int = 0, serial: int = 0, parameters: bool = True) -> None:
        """The last MATMUL with a piece of a streamed group is emitted: it may give way.

        ``parameters``: so may those that came with it.
        """
        bank = self.context.image.banks[name]
        if bank.streamed:
            self._release(region_name(bank, serial, group, piece), parameters)
            self.load_until(self._horizon)

    def used_parameters(self, name: str, group: int, serial: int) -> None:
        """The last EPILOGUE of a streamed group is emitted, whose pieces have given way: so may its parameters."""
        self._parameters.release(region_name(self.context.image.banks[name], serial, group, 0))

    def skip(self, name: str, group: int, serial: int = 0) -> None:
        """Of a streamed group no filter is picked."""
        self.weights(name, group, 0, serial)
        self.used(name, group, serial)

    def release(self, layer: QuantisedLayer) -> None:
        """The layer's instructions are all emitted. What it did not use of a streamed bank gives way."""
        for bank in self.banks_of(layer):
            self.room.ring.release(bank.name)
            self._unreleased.remove(bank.name)
            self.order.drop(bank)
            for region in self.room.streaming_of(bank):
                self._release(region)

    def _release(self, region: str, parameters: bool = True) -> None:
        """A streamed piece gives way."""
        self.room.release(region)
        if parameters:
            self._parameters.release(region)

    def _skipped(self, gate: str | None) -> bool:
        """Whether no tile of a gate is active, so that its layers' filters are not needed."""
        return gate in self.context.gates and not len(self.context.gates[gate].entries)

    def _load_parameters(self, bank: FilterBank) -> bool:
        """Load the parameters of a bank's layer; False while those in use are in the way."""
        image = self.context.image
        in_use = min(image.parameter_start[name] for name in self._unreleased)
        if self._parameters.load_until(image.parameter_end[bank.name], in_use):
            return True
        self._short = f"parameter buffer of {image.parameter_capacity} entries", "parameter_entries"
        return False

    def _load_pieces(self, use: Use) -> bool:
        """Load what is left of a use; False while there is no room."""
        filters = self.filters_of(use.bank)
        while use.group < use.bank.groups(filters):
            if use.bank.streamed and len(self.room.streaming) >= PIECES_AHEAD:
                return False
            if not self._load(use):
                return False
            if use.advance(filters):
                break
        return True

    def _load(self, use: Use) -> bool:
        """Load one piece of one group, if there is room."""
        bank, arch, region = use.bank, self.context.arch, use.region
        if use.piece == 0 and not self._parameters.has_room(bank.name):
            self._short = f"parameter buffer of {arch.parameter_entries} entries", "parameter_entries"
            return False
        base = self.room.take(use)
        if base is None:
            self._short = f"weight buffer of {arch.weight_kib} KiB", "weight_kib"
            return False
        if use.piece == 0:
            self._parameters.load_group(bank.name, use.group, region)
        if picked_rows(self.context, bank) == 0:
            return True
        emit_load(
            self.context,
            use,
            base=base,
            follows=self.context.gate(self._follows.get(bank.name)),
            stored=bank.name in self._made,
        )
        return True
