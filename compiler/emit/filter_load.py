"""One piece of a group of filters: its size in the weight buffer, and its LOAD."""

from __future__ import annotations

from gatewright.compiler.emit.access import FILTERS_IN_DRAM, reads, writes
from gatewright.compiler.emit.context import Context
from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.emit.filter_use import Use
from gatewright.compiler.plan.filters import FilterBank
from gatewright.compiler.plan.layout import padded_vectors, slices_of
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.isa import NO_TABLE, Opcode, Space


def used_filters(context: Context, bank: FilterBank) -> int:
    """Filters that are used of a bank: all, or those of the table that picks its rows."""
    return len(context.gates[bank.gate].entries) if bank.listed and bank.gate else bank.filters


def picked_rows(context: Context, bank: FilterBank) -> int:
    """Rows of a bank that are read."""
    gate = context.gate(bank.gate)
    return bank.rows if gate is None else len(gate.entries)


def group_vectors(context: Context, bank: FilterBank, group: int) -> int:
    """Vectors of a group's region."""
    if bank.space == Space.WEIGHTS_BY_REDUCTION:
        return bank.vectors
    return padded_vectors(min(bank.group, used_filters(context, bank) - group * bank.group))


def piece_words(context: Context, use: Use) -> int:
    """Words of the region of the piece that is next."""
    bank = use.bank
    slices = bank.pieces_in(use.group)[use.piece].count
    if bank.space == Space.WEIGHTS_BY_REDUCTION and bank.gate is not None and not bank.by_taps:
        slices = slices_of(bank.taps * picked_rows(context, bank), context.arch)
    return slices * group_vectors(context, bank, use.group)


def emit_load(context: Context, use: Use, *, base: int, follows: DecidedGate | None, stored: bool) -> None:
    """Emit the LOAD of the piece that is next of ``use``, into its region from word ``base`` of the weight buffer on.

    It waits for the decision of the gate that it ``follows``, and, of a bank that the program itself has ``stored`` in
    DRAM, for that.
    """
    bank, piece, arch = use.bank, use.bank.pieces_in(use.group)[use.piece], context.arch
    by_vector = bank.space == Space.WEIGHTS_BY_VECTOR
    gate = context.gate(bank.gate)
    accesses = [writes("weight", base, base + piece_words(context, use))]
    for decided in (gate, follows):
        if decided is not None:
            accesses.append(reads("table", decided.table, decided.table + 1))
    if stored:
        accesses.append(reads(*FILTERS_IN_DRAM))
    skipped = piece.first // arch.slices_per_beat if by_vector else 0
    fields = {"rows": bank.rows, "row_beats": bank.row_beats, "taps": bank.taps}
    if bank.streamed and by_vector:
        fields |= {
            "first_row": use.group * bank.group,
            "rows": min(bank.group, used_filters(context, bank) - use.group * bank.group),
            "row_beats": -(-piece.count // arch.slices_per_beat),
        }
    if not by_vector and len(bank.pieces) > 1:
        tap, first = divmod(piece.first * arch.rows, bank.rows)
        skipped += tap * bank.rows * bank.row_beats
        fields |= {"first_row": first, "rows": min(piece.count * arch.rows, bank.rows - first), "taps": 1}
    context.out.emit(
        Opcode.LOAD,
        accesses,
        dram_address=bank.group_address(use.group) + skipped * BEAT_BYTES,
        space=bank.space,
        address=base // REGION_UNIT,
        row_stride=bank.row_beats * BEAT_BYTES,
        row_table=NO_TABLE if gate is None else gate.table,
        vectors=group_vectors(context, bank, use.group),
        count=piece.count,
        **fields,
    )
