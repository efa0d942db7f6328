"""The residency plan of a network on an architecture: what stays on chip, what comes how often, what bounds a layer.

It is read off a program: what lies where is the same for all samples, what is read and computed is this one's.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from gatewright.compiler.graph.graph import QuantisedLayer
from gatewright.compiler.plan.bands import BandedBlock
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.row_rings import ring_rows
from gatewright.compiler.plan.unit_cycles import (
    epilogue_cycles,
    fields_of,
    gather_cycles,
    load_cycles,
    load_rows,
    matmul_cycles,
)
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import NO_TABLE, Opcode, Space, Unit
from gatewright.contract.program import Program

BOUNDING = (Unit.ARRAY, Unit.GATHER, Unit.EPILOGUE, Unit.LOAD)
"""The units that can bound a layer."""

_CYCLES = {
    Opcode.MATMUL: (Unit.ARRAY, matmul_cycles),
    Opcode.GATHER: (Unit.GATHER, gather_cycles),
    Opcode.EPILOGUE: (Unit.EPILOGUE, epilogue_cycles),
}


@dataclass(frozen=True)
class FilterPlan:
    """A filter bank: ``size`` bytes in DRAM, in ``groups`` of ``pieces`` each; ``read`` bytes are read of it."""

    name: str
    resident: bool
    groups: int
    pieces: int
    size: int
    read: int

    @property
    def times(self) -> float:
        """How often the bank is read."""
        return self.read / self.size

    def __str__(self) -> str:
        way = "resident" if self.resident else f"streamed, {self.groups} x {self.pieces}"
        return f"{way}, {self.size:,} B" + ("" if self.times == 1 else f" read {self.times:.2f} times")


@dataclass(frozen=True)
class TensorPlan:
    """A map in the scratchpad: ``size`` bytes at ``address`` if whole; ``rows`` if only so many are kept, in a ring.

    ``spilled``: bytes of the map in DRAM, if it lies there; ``read`` bytes of it, or of those that share its place, are
    read and ``written`` are written in all. ``by_tiles``: as many of its tiles, or rows, are there as find room.
    """

    tensor: str
    address: int
    size: int
    rows: int | None
    spilled: int = 0
    read: int = 0
    written: int = 0
    by_tiles: bool = False

    def __str__(self) -> str:
        place = f"{'whole' if self.rows is None else f'ring of {self.rows} rows'}, {self.size:,} B at {self.address:,}"
        if self.by_tiles:
            place = "by tiles"
        if not self.spilled:
            return place
        times = f"read {self.read / self.spilled:.2f} times, written {self.written / self.spilled:.2f} times"
        return f"in DRAM, {self.spilled:,} B {times}; {place}"


@dataclass(frozen=True)
class LayerPlan:
    """A layer. ``band``: rows of its block's output that are made in turn; None if the layer is done at once.
    ``part``: rows that are made at a time of the tiles of a block's first convolution, where whole tiles do not fit.

    ``cycles`` of ``BOUNDING`` are those that its work holds each unit, without latencies and waits. What a classifier
    gathers while its map is still being written counts for the layer that writes it.
    """

    name: str
    filters: tuple[FilterPlan, ...]
    maps: tuple[TensorPlan, ...]
    band: int | None
    cycles: dict[Unit, int]
    part: int | None = None

    @property
    def bound(self) -> Unit | None:
        """The unit that is held longest; None for a layer that rides along with another."""
        longest = max(BOUNDING, key=lambda unit: self.cycles[unit])
        return longest if self.cycles[longest] else None


@dataclass(frozen=True)
class ResidencyPlan:
    """Every layer in order; ``other_bytes`` of DRAM are parameters and instructions, ``other_cycles`` their reading."""

    image: TensorPlan
    layers: tuple[LayerPlan, ...]
    other_bytes: int
    other_cycles: int

    def __str__(self) -> str:
        head = ("layer", "filters", "map", "band", *(unit.name for unit in BOUNDING), "bound")
        lines = [head, ("(image)", "", str(self.image), "", *("",) * len(BOUNDING), "")]
        for layer in self.layers:
            bound = layer.bound
            cycles = tuple(f"{layer.cycles[unit]:,}" if bound is not None else "" for unit in BOUNDING)
            band = "" if layer.band is None else f"{layer.band} rows"
            band += "" if layer.part is None else f", {layer.part} at a time"
            end = (band, *cycles, bound.name if bound is not None else "with its source")
            filters = [str(bank) for bank in layer.filters] or [""]
            maps = [str(place) for place in layer.maps] or [""]
            for number in range(max(len(filters), len(maps))):
                cells = [column[number] if number < len(column) else "" for column in (filters, maps)]
                lines.append((layer.name, *cells, *end) if number == 0 else ("", *cells, *("",) * len(end)))
        widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
        numbers = range(4, 4 + len(BOUNDING))
        text = [
            "  ".join(
                f"{cell:>{width}}" if place in numbers else f"{cell:<{width}}"
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        total = {unit: sum(layer.cycles[unit] for layer in self.layers) for unit in BOUNDING}
        sums = ", ".join(f"{unit.name} {total[unit]:,}" for unit in BOUNDING)
        return "\n".join(
            [
                *text,
                f"cycles in all: {sums}; parameters and instructions: {self.other_bytes:,} B, "
                f"{self.other_cycles:,} cycles of LOAD",
            ]
        )


def residency(image: NetworkImage, program: Program) -> ResidencyPlan:
    """The plan of a network's image, and of one of its programs in replay."""
    owner = {bank: layer.name for layer in image.graph.layers for bank in layer.banks}
    first_reader = next(layer.name for layer in image.graph.layers if image.graph.input in layer.reads)
    cycles: dict[str, dict[Unit, int]] = defaultdict(lambda: dict.fromkeys(BOUNDING, 0))
    read: dict[str, int] = defaultdict(int)
    moved: dict[str | None, list[int]] = defaultdict(lambda: [0, 0])
    other_bytes = other_cycles = 0
    decided = {gate.index_instruction: gate.table for gate in program.gates}
    tables: dict[int, tuple[int, ...]] = {}
    for number, (row, layer) in enumerate(zip(program.code.tolist(), program.layers, strict=True)):
        opcode, fields = Opcode(row[0]), fields_of(row)
        if number in decided:
            tables[fields["table"]] = decided[number]
        elif opcode in _CYCLES:
            unit, formula = _CYCLES[opcode]
            cycles[layer][unit] += formula(fields, image.arch)
        elif opcode == Opcode.LOAD:
            rows = load_rows(fields, None if fields["row_table"] == NO_TABLE else tables[fields["row_table"]])
            size, taken = len(rows) * fields["row_beats"] * BEAT_BYTES, load_cycles(fields, rows, image.arch)
            if fields["space"] in (Space.WEIGHTS_BY_VECTOR, Space.WEIGHTS_BY_REDUCTION):
                banks = _banks_at(image, fields["dram_address"])
                for bank in banks:  # of layers that are used several times: each has its share
                    read[bank] += size // len(banks)
                    cycles[owner[bank]][Unit.LOAD] += taken // len(banks)
            elif fields["space"] == Space.SCRATCHPAD:
                stream = _stream_at(image, fields["dram_address"])
                moved[stream][0] += size
                cycles[first_reader if stream is None else layer][Unit.LOAD] += taken
            else:
                other_bytes, other_cycles = other_bytes + size, other_cycles + taken
        elif opcode == Opcode.STORE:
            moved[_stream_at(image, fields["dram_address"])][1] += fields["beats"] * BEAT_BYTES
    bands = {layer.name: block.tile for block in image.blocks for layer in block.layers}
    bands |= {layer.name: chain.band for chain in image.chains for layer in chain.layers}
    parts = {block.first.name: _part(image, block, program) for block in image.blocks}
    known = image.addresses.keys() | image.off_chip.keys() | image.spilled.keys()
    layers = tuple(
        LayerPlan(
            layer.name,
            tuple(_filters(image, bank, read[bank]) for bank in layer.banks if image.banks[bank].rows),
            tuple(_tensor(image, name, layer, moved) for name in layer.writes if name in known),
            bands.get(layer.name),
            cycles[layer.name],
            parts.get(layer.name),
        )
        for layer in image.graph.layers
    )
    return ResidencyPlan(_tensor(image, image.graph.input, None, moved), layers, other_bytes, other_cycles)


def _banks_at(image: NetworkImage, address: int) -> list[str]:
    """The bank that holds a DRAM address, or the banks that have the same filters."""
    regions = (region for region in image.regions if region.kind == "weights")
    return [r.name for r in regions if r.address <= address < r.address + r.size]


def _part(image: NetworkImage, block: BandedBlock, program: Program) -> int | None:
    """Rows that a block's first convolution makes at a time, if less than its gate's tiles have."""
    shape, gate = image.graph.shapes[block.middle], block.first.output_channels
    tables = {record.name: record.table for record in program.gates}
    pitch = shape.width * (shape.channels if gate is None else len(tables[gate]))
    kept = ring_rows(image, block.middle, pitch) if pitch else None
    unit, _ = block.unit_and_ahead(image.graph, kept or shape.height)
    return unit if unit < block.units[0] else None


def _stream_at(image: NetworkImage, address: int) -> str | None:
    """The first of the maps in DRAM that share the place of an address; None if it is no map's."""
    spilled = [(name, rows.dram, rows.size) for name, rows in image.spilled.items()]
    spilled += [(name, place.dram, place.size) for name, place in image.off_chip.items()]
    return next((name for name, begin, size in spilled if begin <= address < begin + size), None)


def _filters(image: NetworkImage, name: str, read: int) -> FilterPlan:
    bank = image.banks[name]
    size = next(region.size for region in image.regions if (region.name, region.kind) == (name, "weights"))
    return FilterPlan(name, not bank.streamed, bank.groups(bank.filters), len(bank.pieces), size, read)


def _tensor(
    image: NetworkImage, name: str, writer: QuantisedLayer | None, moved: dict[str | None, list[int]]
) -> TensorPlan:
    if name in image.off_chip:
        place = image.off_chip[name]
        read, written = moved[_stream_at(image, place.dram)]
        return TensorPlan(name, 0, 0, None, place.size, read, written, by_tiles=True)
    if writer is None:
        pitch, size = image.input_pitch, image.input_region.size
    else:
        size = writer.sizes(image.laid)[name]
        pitch = size // image.laid.shapes[name].height if name in image.laid.shapes else size
    ring = image.spilled.get(name)
    if writer is not None:
        ring = image.rows_for(writer.name, name) or ring
    if ring is None:
        rows = ring_rows(image, name, pitch)
        return TensorPlan(name, image.addresses[name], size if rows is None else rows * pitch, rows)
    read, written = moved[_stream_at(image, ring.dram)]
    return TensorPlan(name, ring.address, ring.ring * pitch, ring.ring, size, read, written)
