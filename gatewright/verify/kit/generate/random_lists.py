"""What the programs of the corners are made of: rows that LOAD picks by a table, gates with a chosen outcome, masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, MASK_BITS, PARAMETER_BYTES, ArchConfig
from gatewright.contract.encodings import REGION_UNIT, TABLE_ENTRY_BITS
from gatewright.contract.isa import EpilogueKind, Opcode, Space, Unit
from gatewright.verify.kit.generate.builder import Filters, Int8, Map, Mark, up
from gatewright.verify.kit.generate.layers import emit_whole
from gatewright.verify.kit.generate.operands import beats_of_vector, by_reduction, by_vector, parameters, slices_of
from gatewright.verify.kit.generate.oracle import conv_sums
from gatewright.verify.kit.generate.random_programs import Network
from gatewright.verify.kit.generate.random_taps import spatial_gate
from gatewright.verify.kit.generate.scattered import ScatterBuilder

SEEDS = 0xC0
"""Sets these programs' seeds apart from those of ``random_programs``."""


@dataclass(frozen=True)
class Listed:
    """The ``entries`` of a table, out of ``total``; there once ``ready`` is reached."""

    table: int
    entries: list[int]
    total: int
    ready: Mark


@dataclass(frozen=True)
class Masked:
    """A mask over a map: GATHER's ``fields``, the ``active`` pixels [y, x], there once ``ready`` is reached."""

    fields: dict[str, int]
    active: npt.NDArray[np.bool_]
    ready: Mark


class TableBuilder(ScatterBuilder):
    """Tables may be loaded while others are under way."""

    def load_table(self, table: int, entries: list[int], waits: list[Mark] | None = None) -> Mark:
        """A LOAD without rows sets the count at once: it waits for the LOADs before."""
        return super().load_table(table, entries, waits if entries else [*(waits or []), self.mark(Unit.LOAD)])


class ListNetwork(Network):
    """A random network whose LOADs pick rows by tables, and whose maps are in whole words that are all written."""

    def __init__(self, seed: int, arch: ArchConfig | None, attempt: int = 0) -> None:
        super().__init__(seed, arch, attempt)
        self.rng = np.random.default_rng([SEEDS, seed, attempt])
        self._skips = np.random.default_rng([SEEDS, seed, attempt, 1])
        self.build = self.builder()
        self.input_list: Listed | None = None
        """The list of input channels of which the next layer's filters are loaded."""
        self.rows_at = (0, 0)
        """(address, bytes) in DRAM of what ``load_rows`` has loaded last."""
        self._words: dict[int, tuple[int, Int8]] = {}

    def builder(self) -> ScatterBuilder:
        return TableBuilder(self.arch, self.rng)

    def load_rows(self, space: Space, rows: npt.NDArray[np.uint8], address: int, **fields: int) -> Mark:
        """LOAD rows [count, bytes] that lie scattered in DRAM. The table ends after them, or the LOAD does.

        Now and then, without a free table, or where it is too short, the rows lie in order, behind some others.
        """
        rng, (count, size) = self.rng, rows.shape
        if self._skips.integers(8) == 0 or self.build.free_table() is None or count + 3 > self.arch.table_entries:
            skipped = int(self._skips.integers(3))
            before = self._skips.integers(0, 256, (skipped, size), dtype=np.uint8)
            there = self.build.image.add(np.concatenate([before, rows]))
            self.rows_at = there, (skipped + count) * size
            fields |= {"dram_address": there, "address": address, "rows": count, "first_row": skipped}
            return self.build.emit(
                Opcode.LOAD, None, space=space, row_beats=size // BEAT_BYTES, row_stride=size, **fields
            )
        places, stride = count + int(rng.integers(1, 4)), size + BEAT_BYTES * int(rng.integers(3))
        chosen = rng.permutation(places)[:count]
        lying = rng.integers(0, 256, (places, stride), dtype=np.uint8)
        lying[chosen, :size] = rows
        entries, at_most = [int(place) for place in chosen], count + int(rng.integers(1, 6))
        if rng.integers(2):
            entries, at_most = [*entries, *(int(n) for n in rng.integers(0, places, rng.integers(1, 4)))], count
        there = self.build.image.add(lying)
        self.rows_at = there, lying.size
        return self.load_listed(space, there, entries, at_most, stride, size, address, [], **fields)

    def load_listed(
        self,
        space: Space,
        dram_address: int,
        entries: list[int],
        rows: int,
        stride: int,
        size: int,
        address: int,
        waits: Sequence[Mark],
        **fields: int,
    ) -> Mark:
        """LOAD a table and, by it, at most ``rows`` rows of ``size`` bytes that begin ``stride`` bytes apart.

        The table may begin with other entries, which are skipped.
        """
        table = self.build.free_table()
        assert table is not None
        skipped = min(int(self._skips.integers(4)), self.arch.table_entries - len(entries))
        others = self._skips.integers(0, 1 << TABLE_ENTRY_BITS, skipped).tolist()
        listed = self.build.load_table(table, [*others, *entries])
        fields |= {"dram_address": dram_address, "address": address, "rows": rows, "first_row": skipped}
        fields |= {"row_beats": size // BEAT_BYTES, "row_stride": stride, "row_table": table}
        return self.build.emit(Opcode.LOAD, [*waits, listed], space=space, **fields)

    def filters(self, count: int, kernel: tuple[int, int], channels: int, pooled: bool = False) -> Filters:
        """Random filters in one of four ways: plainly, or rows picked; of ``input_list``'s channels if there is one."""
        rng, listed = self.rng, self.input_list
        self.input_list = None
        way = int(rng.integers(3))
        if listed is None and way == 0:
            return super().filters(count, kernel, channels, pooled)
        taps, vectors = kernel[0] * kernel[1], up(count, REGION_UNIT)
        total = channels if listed is None else listed.total
        bank = rng.integers(-128, 128, (count, *kernel, total), dtype=np.int8)
        base = self.build.weight_room(vectors, slices_of(self.arch, taps * total))
        where = {"vectors": vectors, "address": base // REGION_UNIT}
        if listed is not None:
            self._soil(base, vectors, taps * total)
            raw = by_reduction(bank.reshape(count, taps, total))
            size = taps * up(count, BEAT_BYTES)
            fields = {"row_table": listed.table, "rows": total, "row_beats": size // BEAT_BYTES, "row_stride": size}
            fields |= {"dram_address": self.build.image.add(raw), "space": Space.WEIGHTS_BY_REDUCTION, "taps": taps}
            self.build.emit(Opcode.LOAD, [listed.ready], **where, **fields)
            bank = bank[..., listed.entries]
        elif way == 1:
            rows = np.frombuffer(by_reduction(bank.reshape(count, taps, total)), np.uint8).reshape(total, -1)
            self.load_rows(Space.WEIGHTS_BY_REDUCTION, rows, taps=taps, **where)
        else:
            rows = np.frombuffer(by_vector(self.arch, bank.reshape(count, -1)), np.uint8).reshape(count, -1)
            self.load_rows(Space.WEIGHTS_BY_VECTOR, rows, count=slices_of(self.arch, taps * total), **where)
        entries = self.entries(count, taps * channels)
        raw_entries = np.frombuffer(parameters(entries if pooled else entries[1:]), np.uint8)
        first = self.build.parameter_room(len(raw_entries) // PARAMETER_BYTES)
        rows = raw_entries.reshape((-1, BEAT_BYTES) if rng.integers(2) else (1, -1))
        mark = self.load_rows(Space.PARAMETERS, rows, first)
        return Filters(bank, entries, base, vectors, first + pooled, [mark])

    def _soil(self, base: int, vectors: int, reduction: int) -> None:
        """LOAD random weights to where only some of a reduction will follow: a product with too many of them shows."""
        row = BEAT_BYTES * beats_of_vector(self.arch, reduction)
        fields = {"space": Space.WEIGHTS_BY_VECTOR, "rows": vectors, "vectors": vectors, "row_stride": row}
        fields |= {
            "row_beats": row // BEAT_BYTES,
            "count": slices_of(self.arch, reduction),
            "address": base // REGION_UNIT,
        }
        address = self.build.image.add(self.rng.integers(0, 256, vectors * row, dtype=np.uint8))
        self.build.emit(Opcode.LOAD, None, dram_address=address, **fields)

    def place(self, values: Int8) -> Map:
        """A map loaded to any byte address, with random bytes around it up to whole words."""
        rng = self.rng
        odd = int(rng.integers(16))
        words = rng.integers(-128, 128, max(BEAT_BYTES, up(odd + values.size, BEAT_BYTES)), dtype=np.int8)
        words[odd : odd + values.size] = values.ravel()
        base = self.build.room(len(words))
        rows = words.view(np.uint8).reshape((-1, BEAT_BYTES) if rng.integers(3) == 0 else (1, -1))
        mark = self.load_rows(Space.SCRATCHPAD, rows, base)
        self._words[base + odd] = (base, words)
        return Map(base + odd, values, [mark])

    def words(self, source: Map) -> tuple[int, Int8]:
        """(address, contents) of the whole words in which a placed map lies, with what it holds now."""
        base, words = self._words[source.address]
        words = words.copy()
        words[source.address - base :][: source.values.size] = source.values.ravel()
        return base, words

    def output(self, height: int, width: int, channels: int, preset: bool) -> Map:
        """A placed map of random values, to be overwritten or updated."""
        return self.place(self.rng.integers(-128, 128, (height, width, channels), dtype=np.int8))

    def decide(self, bits: Sequence[bool], destination: int) -> Mark:
        """THRESHOLD ``bits`` from a mask's bit ``destination`` on, by sums and biases that meet 0 or miss it by 1.

        Some biases are the ends of int32, so that the sum with them is beyond it.
        """
        rng, count = self.rng, len(bits)
        source = self.place(rng.integers(-128, 128, (1, 1, int(rng.integers(1, 6))), dtype=np.int8))
        weights = rng.integers(-128, 128, (count, 1, 1, source.values.shape[2]), dtype=np.int8)
        beyond = rng.integers(0, 3, count) * rng.integers(0, 1000, count)
        biases = np.where(bits, beyond, -1 - beyond) - conv_sums(source.values, weights, 1, 0)[0, 0]
        biases = np.where(beyond % 8 == 7, np.where(bits, 2**31 - 1, -(2**31)), biases)
        entries = [(0, 1, 1), *((int(bias), 1, 1) for bias in biases)]
        filters = self.build.load_filters(weights, entries, bool(rng.integers(2)), pooled=False)
        return emit_whole(self.build, source, filters, EpilogueKind.THRESHOLD, destination, source.ready)

    def listed(self, total: int) -> Listed:
        """Some of ``total`` channels, often none, listed by a gate on the machine or by a LOAD.

        The table is held: give it back.
        """
        rng, table, mask = self.rng, self.build.take_table(), self.build.masks[1]
        assert table is not None, "between layers every table is free"
        share = float(rng.choice([0, 0.3, 0.7, 1], p=[0.3, 0.3, 0.3, 0.1]))
        kept = [int(channel) for channel in np.flatnonzero(rng.random(total) < share)]
        if rng.integers(3) == 0:
            rng.shuffle(kept)
            made = self.build.load_table(table, kept)
        else:
            complement = bool(rng.integers(2))
            done = self.decide([(channel in kept) != complement for channel in range(total)], mask * MASK_BITS)
            first = int(self._skips.integers(total + 1)) if self._skips.integers(2) else 0
            kept = [channel for channel in kept if channel >= first]
            # INDEX and the LOADs of tables share the tables' write port.
            waits = [done, self.build.mark(Unit.LOAD)]
            index = {"mask": mask, "bits": total, "complement": int(complement), "first_bit": first}
            made = self.build.emit(Opcode.INDEX, waits, table=table, **index)
        return Listed(table, kept, total, made)

    def masked(self, source: Map) -> Masked:
        """A mask over a map, in tiles of any edge; or of its pixels, by a gate that looks at the map itself."""
        rng, (height, width, channels), mask = self.rng, source.values.shape, self.build.masks[2]
        if channels > 0 and rng.integers(3) == 0:
            active, done = spatial_gate(self, source, mask * MASK_BITS)
            return Masked({"source_mask": mask, "source_tile": 1, "source_grid": width}, active, done)
        edge = int(rng.integers(1, 5))
        rows, grid = -(-height // edge), -(-width // edge) + int(rng.integers(3))
        bits = rng.random((rows, grid)) < rng.choice([0.2, 0.5, 0.8])
        done = self.decide([bool(bit) for bit in bits.ravel()], mask * MASK_BITS)
        active = bits[np.arange(height)[:, None] // edge, np.arange(width) // edge]
        return Masked({"source_mask": mask, "source_tile": edge, "source_grid": grid}, active, done)
