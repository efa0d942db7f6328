"""Counts of every word that the stepped machine's memories give and take: one call of a port is one access."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from gatewright.contract.program import Program
from gatewright.sim.stepped import step_simulate
from gatewright.sim.stepped.gather.unit import GatherUnit
from gatewright.sim.stepped.memories.memories import (
    Accumulators,
    Dram,
    InstructionMemory,
    OperandBuffer,
    Parameters,
    Scratchpad,
)
from gatewright.sim.stepped.memories.tables import Masks, Tables

BOOT = -1


class Meter:
    """``counts`` by (row of the program, access); what no instruction is named for has the row None."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[tuple[int | None, str]] = Counter()
        self._looked_up: set[tuple[int, int, int]] = set()
        self._gather: Any = None
        gather_step = GatherUnit.step

        def step(unit: GatherUnit) -> None:
            self._gather = unit._active
            gather_step(unit)

        patch.setattr(GatherUnit, "step", step)
        self._on(patch, Scratchpad, "read_a", lambda m, addresses: (self._gather, "scratchpad.read", _words(addresses)))
        self._on(
            patch, Scratchpad, "read_b", lambda m, at, count, user: (user, "scratchpad.read", _span(at, count, 16))
        )
        self._on(patch, Scratchpad, "write_b", lambda m, at, b, user: (user, "scratchpad.write", _span(at, len(b), 16)))
        self._on(patch, OperandBuffer, "read", lambda m, word, user: (user, f"{_short(m)}.read", 1))
        self._on(patch, OperandBuffer, "write", _operands)
        self._on(patch, Accumulators, "read", lambda m, bank, entry, user: (user, "accumulators.read", 1))
        self._on(patch, Accumulators, "write", lambda m, bank, entry, v, user: (user, "accumulators.write", 1))
        self._on(patch, Parameters, "read", lambda m, entry, user: (user, "parameters.read", 1))
        self._on(patch, Parameters, "write", lambda m, entry, data, user: (user, "parameters.write", len(data)))
        self._on(patch, Tables, "read", self._entry)
        self._on(patch, Tables, "write", lambda m, table, position, value, user: (user, "tables.write", 1))
        self._on(patch, Masks, "read", lambda m, mask, bits, user: (user, "masks.read", 1))
        self._on(patch, Masks, "read_on", lambda m, mask, bits, user: (user, "masks.read", 1))
        self._on(patch, Masks, "write", lambda m, first, bits, user: (user, "masks.write", _span(first, len(bits), 16)))
        self._on(patch, InstructionMemory, "read", lambda m, entry: (None, "instructions.read", 1))
        self._on(patch, InstructionMemory, "write", lambda m, byte, b, user: (user, "instructions.bytes", len(b)))
        self._on(patch, Dram, "read", lambda m, at, count, user: (user, "dram.read", count))
        self._on(patch, Dram, "write", lambda m, at, data, user: (user, "dram.write", len(data)))

    def _on(self, patch: pytest.MonkeyPatch, owner: type, name: str, what: Any) -> None:
        real = getattr(owner, name)

        def counted(memory: Any, *values: Any) -> Any:
            user, access, number = what(memory, *values)
            if number:
                self.counts[None if user is None else user.row, access] += number
            return real(memory, *values)

        patch.setattr(owner, name, counted)

    def _entry(self, _: Tables, table: int, position: int, user: Any) -> tuple[Any, str, int]:
        """An entry counts once for an instruction, which may look at it in many cycles."""
        key = user.row, table, position
        fresh = key not in self._looked_up
        self._looked_up.add(key)
        return user, "tables.read", int(fresh)


def _short(memory: Any) -> str:
    return {"patch buffer": "patch", "weight buffer": "weight"}[memory._name]


def _operands(memory: Any, words: Any, lanes: Any, data: Any, user: Any) -> tuple[Any, str, int]:
    """Words of the patch buffer; bytes of the weight buffer."""
    name = _short(memory)
    return user, f"{name}.write", len(words) if name == "weight" else len(set(words.tolist()))


def _words(addresses: Any) -> int:
    return len(set((addresses // 16).tolist()))


def _span(first: int, count: int, size: int) -> int:
    return len({at // size for at in range(first, first + count)})


def metered(program: Program, patch: pytest.MonkeyPatch) -> Counter[tuple[int | None, str]]:
    """Step a program; what its instructions have accessed."""
    meter = Meter(patch)
    step_simulate(program)
    assert np.sum(list(meter.counts.values())) > 0
    return meter.counts
