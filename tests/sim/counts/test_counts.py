"""Counted accesses are those of the stepped machine's memories, instruction by instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from gatewright.contract.arch import INSTRUCTION_BYTES
from gatewright.contract.isa import EpilogueKind, Opcode, column
from gatewright.contract.program import Program
from gatewright.sim.counts.ports import ACCESSES, CELLS, MACS
from gatewright.sim.counts.run import count_accesses
from gatewright.verify.expectations import expect
from gatewright.verify.kit.generate.random_corners import random_corners
from gatewright.verify.kit.generate.random_programs import random_network
from tests.support.metered import BOOT, metered

Generate = Callable[[int], tuple[object, Program]]


def counted(program: Program) -> Counter[tuple[int | None, str]]:
    """The fast simulator's counts in the meter's form."""
    found = Counter[tuple[int | None, str]]()
    for row, counts in enumerate(count_accesses(program), BOOT):
        for name, count in zip(ACCESSES, counts, strict=True):
            if not count or name in (MACS, CELLS):
                continue
            if name == "instructions.read":
                found[None, name] += int(count)
            elif name == "instructions.write":
                found[row, "instructions.bytes"] += int(count) * INSTRUCTION_BYTES
            else:
                found[row, name] += int(count)
    return found


def assert_same_accesses(program: Program, patch: pytest.MonkeyPatch) -> None:
    own, stepped = counted(program), metered(program, patch)
    different = [key for key in own.keys() | stepped.keys() if own[key] != stepped[key]]
    lines = [
        f"{row} {'' if row is None or row < 0 else _about(program, row)} {name}: {own[row, name]} counted, "
        f"{stepped[row, name]} of the memories"
        for row, name in sorted(different, key=str)
    ]
    assert not different, "\n".join(lines)


def _about(program: Program, row: int) -> str:
    name = program.opcode_name(row)
    if program.code[row, 0] != Opcode.EPILOGUE:
        return name
    return f"{name} {EpilogueKind(int(program.code[row, column(Opcode.EPILOGUE, 'kind')])).name}"


def test_writes_are_those_that_the_rtl_is_held_to() -> None:
    """``verify`` compares every single write of the RTL to scratchpad and DRAM with these sequences."""
    _, program = random_network(210)
    writes = expect(program).writes
    assert writes is not None
    counts = count_accesses(program).sum(0)
    total = dict(zip(ACCESSES, counts.tolist(), strict=True))
    spans = [
        (int(address) % 16 + int(count) - 1) // 16 + 1
        for sequence in writes.scratchpad.values()
        for address, count in zip(sequence.addresses, sequence.counts, strict=True)
    ]
    assert total["scratchpad.write"] == sum(spans) > 0
    assert total["dram.write"] == int(writes.dram.counts.sum()) > 0


@pytest.mark.parametrize("generate", [random_network, random_corners])
@pytest.mark.parametrize("seed", range(200, 206))
def test_accesses_are_those_of_the_stepped_memories(
    seed: int, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"seed {seed} of {generate.__name__}")
    _, program = generate(seed)
    assert_same_accesses(program, monkeypatch)
