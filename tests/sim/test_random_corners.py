"""The programs of the corners do what they are there for: each corner occurs, often, and shows in the results."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from gatewright.contract.arch import INSTRUCTION_BYTES, PRESETS, ArchConfig
from gatewright.contract.axi import BURST_BOUNDARY
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import FORMATS, NO_MASK, NO_TABLE, Opcode, Space, column
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate
from gatewright.sim.result import SimResult
from gatewright.verify.kit.generate.random_corners import LONGEST, CornerNetwork, random_corners

ARCH = ArchConfig(name="4x4", rows=4, columns=4)
SEEDS = range(100)


def field(program: Program, row: int, opcode: Opcode, name: str) -> int:
    return int(program.code[row, column(opcode, name)])


def occurrences(program: Program, result: SimResult) -> Counter[str]:
    """What the instructions that were executed did, by their operands and their effective work."""
    seen: Counter[str] = Counter()
    for row, work in zip(result.trace.records["instruction"], result.work, strict=True):
        opcode = Opcode(int(program.code[row, 0]))
        if opcode == Opcode.MATMUL and field(program, row, opcode, "channel_table") != NO_TABLE and work["blocks"]:
            seen["MATMUL by channels"] += 1
            seen["MATMUL by no channels"] += work["reduction"] == 0
        elif opcode == Opcode.GATHER and field(program, row, opcode, "source_mask") != NO_MASK and work["cycles"]:
            seen["GATHER masked"] += 1
            seen["GATHER masked, four columns"] += field(program, row, opcode, "kernel_width") == 4
        elif opcode == Opcode.STORE:
            first = field(program, row, opcode, "dram_address")
            seen["STORE across 4 KiB"] += (first + int(work["bytes"]) - 1) // BURST_BOUNDARY - first // BURST_BOUNDARY
        elif opcode == Opcode.LOAD and field(program, row, opcode, "row_table") != NO_TABLE:
            space = Space(field(program, row, opcode, "space"))
            seen[f"LOAD of {space.name} by rows" if work["bytes"] else "LOAD of no rows"] += 1
    executed = result.trace.records["instruction"]
    left_out = np.setdiff1d(np.arange(executed[-1]), executed)
    seen.update(f"{Opcode(int(opcode)).name} left out" for opcode in program.code[left_out, 0])
    skips = program.code[executed, 0] == Opcode.SKIP
    seen["SKIP taken"] = np.count_nonzero(result.work["taken"][skips])
    seen["SKIP not taken"] = np.count_nonzero(skips) - seen["SKIP taken"]
    pages = (program.code[executed, 0] == Opcode.NEXT) & np.isin(executed - 1, left_out)
    seen["NEXT in a range left out"] = np.count_nonzero(pages)
    last = int(executed[-1])
    seen["EXIT taken"] = int(program.code[last, 0] == Opcode.EXIT)
    return seen


def changed(program: Program, opcode: Opcode, **values: int) -> Program:
    """The program with some operands of all instructions of an opcode replaced."""
    code, image = program.code.copy(), program.image.copy()
    for name, value in values.items():
        code[code[:, 0] == opcode, column(opcode, name)] = value
    encoded = np.frombuffer(encode(code), np.uint8)
    image[program.code_address :][: len(encoded)] = encoded
    return replace(program, code=code, image=image)


def test_every_corner_occurs_in_many_programs() -> None:
    programs: Counter[str] = Counter()
    for seed in SEEDS:
        _, program = random_corners(seed, ARCH)
        programs.update(+Counter({name: 1 for name, count in occurrences(program, simulate(program)).items() if count}))
    print(sorted(programs.items()))
    share = {name: count / len(SEEDS) for name, count in programs.items()}
    assert 0.2 < share["EXIT taken"] < 0.8
    assert share["SKIP taken"] > 0.3 and share["SKIP not taken"] > 0.1
    assert share["NEXT in a range left out"] > 0.2
    for opcode in (opcode for opcode in FORMATS if opcode not in (Opcode.NEXT, Opcode.END)):
        assert share[f"{opcode.name} left out"] > 0.05, opcode.name
    assert share["MATMUL by channels"] > 0.4
    assert share["MATMUL by no channels"] > 0.2
    assert share["STORE across 4 KiB"] > 0.6
    assert share["GATHER masked"] > 0.5
    assert share["GATHER masked, four columns"] > 0.05
    assert share["LOAD of no rows"] > 0.1
    for space in (Space.SCRATCHPAD, Space.PARAMETERS, Space.WEIGHTS_BY_VECTOR, Space.WEIGHTS_BY_REDUCTION):
        assert share[f"LOAD of {space.name} by rows"] > 0.5


def notices(network: CornerNetwork, program: Program) -> bool:
    """Whether the program stops, or leaves other bytes than the oracle expects."""
    try:
        result = simulate(program)
    except GatewrightError:
        return True
    scratchpad, dram = result.scratchpad.view(np.int8), result.dram.view(np.int8)
    checks = [(scratchpad, *check) for check in network.checks] + [(dram, *check) for check in network.dram_checks]
    return not all(np.array_equal(memory[a : a + v.size], v.ravel()) for memory, a, v in checks)


@pytest.mark.parametrize(
    ("opcode", "name", "least"),
    [
        (Opcode.GATHER, "source_mask", 0.3),
        (Opcode.GATHER, "channel_table", 0.2),
        (Opcode.MATMUL, "channel_table", 0.2),
        (Opcode.LOAD, "row_table", 0.8),
    ],
)
def test_without_its_table_or_mask_the_results_differ(opcode: Opcode, name: str, least: float) -> None:
    different = 0
    for seed in SEEDS:
        network, program = random_corners(seed, ARCH)
        assert not notices(network, program)
        different += notices(
            network, changed(program, opcode, **{name: NO_MASK if name == "source_mask" else NO_TABLE})
        )
    print(f"{different} of {len(SEEDS)} programs differ without {name}")
    assert different > least * len(SEEDS)


def test_what_lies_behind_an_exit_may_be_anything() -> None:
    """Some programs that exit early have no instructions behind the EXIT in memory, but random bytes."""
    strange = 0
    for seed in SEEDS:
        network, program = random_corners(seed, ARCH)
        code = program.image[program.code_address :][: len(program.code) * INSTRUCTION_BYTES].tobytes()
        if network.left is not None and code != encode(program.code):
            strange += 1
            assert len(simulate(program).trace.records) < len(program.code)
    assert strange > 0.1 * len(SEEDS)


def test_the_programs_hold_every_opcode() -> None:
    opcodes = {int(opcode) for seed in SEEDS for opcode in random_corners(seed, ARCH)[1].code[:, 0]}
    assert opcodes == {int(opcode) for opcode in FORMATS}


def test_a_draw_that_is_far_too_long_is_drawn_anew() -> None:
    """A SKIP of the first draw would leave out 67,258 instructions, which its field does not hold."""
    _, program = random_corners(808992, PRESETS["4x4"])
    assert len(program.code) <= LONGEST
