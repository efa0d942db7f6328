"""What a table's count decides in the programs of the corners: images that end early, and steps that are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gatewright.contract.arch import MASK_BITS
from gatewright.contract.isa import NO_TABLE, Opcode, Unit, column
from gatewright.verify.kit.generate.builder import Map, Mark

if TYPE_CHECKING:
    from gatewright.verify.kit.generate.random_corners import CornerNetwork

INSTRUCTIONS = column(Opcode.SKIP, "instructions")

Step = Callable[[Map], Map]


@dataclass(frozen=True)
class Decision:
    """Whether a table has more than ``most`` entries, which is known at ``ready``. The table is held: give it back.

    ``source``: (address, bytes) in DRAM of what the gate looks at.
    """

    table: int
    most: int
    more: bool
    ready: Mark
    source: tuple[int, int] = (0, 0)


def decision(network: CornerNetwork, mask: int) -> Decision | None:
    """Some bits that a gate on the machine decides, listed in a table; None without a free one."""
    rng, table = network.rng, network.build.take_table()
    if table is None:
        return None
    bits = rng.integers(0, 2, rng.integers(1, 9)).astype(bool)
    decided = network.decide([bool(bit) for bit in bits], mask * MASK_BITS)
    source = network.rows_at
    complement = int(rng.integers(2))
    # INDEX and the LOADs of tables share the tables' write port.
    waits = [decided, network.build.mark(Unit.LOAD)]
    ready = network.build.emit(
        Opcode.INDEX, waits, mask=mask, bits=len(bits), complement=complement, table=table, grid_width=0
    )
    count = int(np.count_nonzero(bits != bool(complement)))
    more = bool(count) and bool(rng.integers(2))
    most = count - 1 - int(rng.choice([0, int(rng.integers(count))])) if more else count + int(rng.choice([0, 0, 5]))
    return Decision(table, most, more, ready, source)


def always(network: CornerNetwork) -> Decision:
    """What no table decides: the SKIP is taken."""
    return Decision(NO_TABLE, int(network.rng.integers(3)), False, network.build.mark(Unit.LOAD))


def perhaps_left_out(network: CornerNetwork, step: Step, source: Map, depth: int = 0) -> Map:
    """A step behind a SKIP, with pages, LOADs, EXITs and other SKIPs in its range; the result, or the source as it is.

    Where the step is left out its results are not expected; what it would have stored is expected to be as before.
    """
    rng, build = network.rng, network.build
    decided = always(network) if rng.integers(8) == 0 else decision(network, build.masks[4])
    if decided is None:
        return step(source)
    if rng.integers(2):
        network.filters(int(rng.integers(1, 14)), (3, 3), int(rng.integers(1, 6)))  # LOADs that SKIP does not wait for
    build.emit(Opcode.SKIP, [decided.ready], count_table=decided.table, most=decided.most)
    build.give_table(*[decided.table] * (decided.table != NO_TABLE))
    skip = build.rows[-1]
    first, taken = len(build.rows), not decided.more
    checks, stores, left = len(network.checks), len(network.dram_checks), network.left
    result = step(replace(source, ready=[*source.ready]))
    if depth == 0 and rng.integers(3) == 0:
        network.barrier()
        result = perhaps_left_out(network, network.seeing, result, depth + 1)
    if taken and rng.integers(3) == 0:
        network.barrier()
        network.early_exit(result)
    skip[INSTRUCTIONS] = len(build.rows) - first
    if decided.more:
        return result
    network.varied.append(decided.source)
    network.left = left
    del network.checks[checks:]
    network.dram_checks[stores:] = [(at, np.zeros_like(values)) for at, values in network.dram_checks[stores:]]
    return source
