"""Operands that exclude each other, or name what the machine lacks, by opcode.

What field names say by themselves (``*_table``, ``*_mask``, ``tile``) is no rule here: ``Legality`` checks it for every
opcode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gatewright.contract.arch import MASK_BITS, MASK_COLUMNS, MASKS, ArchConfig
from gatewright.contract.encodings import (
    MOST_DEPTHWISE_STEP,
    MOST_DEPTHWISE_WINDOW,
    MOST_DIGITS_WINDOW,
    most_taps_window,
)
from gatewright.contract.isa import NO_MASK, NO_TABLE, EpilogueKind, Only, Opcode, Space, Stationary


def lacks_table(arch: ArchConfig, number: Any) -> Any:
    """Whether the machine has no such table."""
    return number >= arch.tables


def lacks_mask(number: Any) -> Any:
    """Whether no machine has such a mask."""
    return number >= MASKS


def _load(arch: ArchConfig, fields: Any) -> list[Any]:
    return [fields.space > max(Space), (fields.space == Space.TABLE) & lacks_table(arch, fields.address)]


def _gather(arch: ArchConfig, fields: Any) -> list[Any]:
    unusable = (fields.kernel_width > MASK_COLUMNS) | (fields.source_tile == 0) | (fields.source_grid == 0)
    return [(fields.source_mask != NO_MASK) & unusable]


def _matmul(arch: ArchConfig, fields: Any) -> list[Any]:
    return [fields.in_order & (fields.filter_table == NO_TABLE), fields.only > max(Only)]


def _epilogue(arch: ArchConfig, fields: Any) -> list[Any]:
    plain = (fields.kind == EpilogueKind.STORE) & (fields.stationary == Stationary.FILTERS)
    reduces = (fields.kind == EpilogueKind.REDUCE) | (fields.kind == EpilogueKind.REDUCE_RAW)
    depthwise = (fields.kind == EpilogueKind.DEPTHWISE) & arch.depthwise
    digits, windows = fields.kind == EpilogueKind.DIGITS, (fields.kind >= EpilogueKind.MAX) & ~depthwise
    taps = fields.kind == EpilogueKind.TAPS
    outside = fields.inset >= fields.window
    unusable = (
        (fields.kind > EpilogueKind.TAPS)
        | (fields.stationary != Stationary.FILTERS)
        | (fields.tile != 1)
        | (fields.tile_table != NO_TABLE)
        | (fields.filter_table != NO_TABLE)
        | fields.compact
        | (fields.window == 0)
        | (fields.step == 0)
        | fields.only.any()
        | outside
        | (digits & (fields.window > MOST_DIGITS_WINDOW))
        | (~digits & ~taps & (fields.parameters == 0))
        | (taps & ((fields.channels != 1) | (fields.wrap_row != 0) | (fields.window > most_taps_window(arch.columns))))
    )
    bad_kernel = (
        (fields.stationary != Stationary.FILTERS)
        | (fields.window == 0)
        | (fields.window > MOST_DEPTHWISE_WINDOW)
        | (fields.step == 0)
        | (fields.step > MOST_DEPTHWISE_STEP)
        | outside
    )
    return [
        fields.only > max(Only),
        reduces & (fields.stationary != Stationary.FILTERS),
        (fields.pool | fields.residual) & ~plain,
        fields.elsewhere & ~fields.residual,
        fields.upsample.any() & ~fields.elsewhere,
        fields.pool & (fields.parameters == 0),
        fields.compact & (fields.filter_table == NO_TABLE),
        fields.digits & ~reduces,
        windows & unusable,
        depthwise & bad_kernel,
    ]


def _index(arch: ArchConfig, fields: Any) -> list[Any]:
    beyond = fields.mask * MASK_BITS + fields.bits > MASKS * MASK_BITS
    return [lacks_mask(fields.mask), lacks_table(arch, fields.table), beyond]


OPERAND_RULES: dict[Opcode, Callable[[ArchConfig, Any], list[Any]]] = {
    Opcode.LOAD: _load,
    Opcode.GATHER: _gather,
    Opcode.MATMUL: _matmul,
    Opcode.EPILOGUE: _epilogue,
    Opcode.INDEX: _index,
}
"""Each gives the conditions, of the operand fields, under which the instruction is illegal."""
