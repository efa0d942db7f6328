"""The emitter's waits: enough under every memory timing, none implied by the others, and missed when taken away."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit.access import reads, writes
from gatewright.compiler.emit.emit import Emitter
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS, ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import FORMATS, WAITS, Opcode, Unit
from gatewright.contract.program import Program
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped.machine import step_simulate
from tests.support.graphs import random_inputs, resnet_graph
from tests.support.shapes import SHAPES

SEED = 3

TIMINGS = (
    DramConfig(),
    DramConfig(latency=2, beats=1, per_cycles=1, burst_gap=0),
    DramConfig(latency=600, beats=1, per_cycles=4),
    DramConfig(latency=60, beats=1, per_cycles=30, outstanding=1),
)
"""Waits are about order, not about luck with the cycles: other memories bring other units into trouble."""


@cache
def gated(preset: str) -> tuple[Program, tuple[int, ...]]:
    """A gated ResNet-8 for one image, and the reference's logits."""
    print(f"seed {SEED}")
    graph = resnet_graph(8, size=16, seed=SEED)
    sample = random_inputs(graph, 1, SEED)
    reference = run_reference(graph, sample)
    decisions = {name: decided[0] for name, decided in reference.decisions.items()}
    return Compiler(graph, PRESETS[preset]).compile(decisions, sample[0]), tuple(reference.logits[0].tolist())


def changed(program: Program, code: npt.NDArray[np.int64], **arch: object) -> Program:
    """The program with other instructions, on a machine with other parameters."""
    image, encoded = program.image.copy(), np.frombuffer(encode(code), np.uint8)
    image[program.code_address : program.code_address + len(encoded)] = encoded
    return replace(program, code=code, image=image, arch=replace(program.arch, **arch))


def wait_places(program: Program) -> list[tuple[int, int]]:
    """(instruction, column) of every wait."""
    return [
        (row, 1 + 2 * wait)
        for row in range(len(program.code))
        for wait in range(WAITS)
        if program.code[row, 1 + 2 * wait]
    ]


def test_gates_are_in_the_network_s_order_whichever_becomes_a_table_first() -> None:
    program, _ = gated("ultra96")
    blocks = [gate.name.rpartition(".")[0] for gate in program.gates]
    assert blocks == sorted(blocks)
    order = {gate.name.rpartition(".")[2]: number for number, gate in enumerate(program.gates[:2])}
    for number, gate in enumerate(program.gates):
        assert order[gate.name.rpartition(".")[2]] == number % 2
    built = [gate.index_instruction for gate in program.gates]
    assert built != sorted(built)


@pytest.mark.parametrize("preset", SHAPES)
def test_no_race_under_any_timing(preset: str) -> None:
    program, logits = gated(preset)
    for dram in TIMINGS:
        for depth in (2, 8, 64):
            result = simulate(changed(program, program.code, dram=dram, queue_depth=depth), audit=True)
            assert tuple(result.logits.tolist()) == logits


@pytest.mark.parametrize("preset", ["ultra96", "8x8"])
def test_removed_waits_are_races(preset: str) -> None:
    """Nearly every wait is needed, and the audit misses none: what it passes is right on the stepped model, too."""
    program, logits = gated(preset)
    caught: Counter[tuple[str, str]] = Counter()
    passed = []
    places = wait_places(program)
    for row, where in places:
        code = program.code.copy()
        code[row, where : where + 2] = 0
        without = changed(program, code)
        try:
            simulate(without, audit=True)
        except GatewrightError as error:
            assert any(text in str(error) for text in ("race", "nothing was loaded into", "nothing has written"))
            caught[Opcode(int(program.code[row, 0])).name, Unit(int(program.code[row, where])).name] += 1
        else:
            passed.append(row)
            if len(passed) <= 2:
                assert tuple(step_simulate(without, fill_seed=SEED).logits.tolist()) == logits
    print(dict(caught), "needless:", passed)
    assert len(passed) < len(places) / 50
    needed = {("EPILOGUE", "ARRAY"), ("MATMUL", "GATHER"), ("MATMUL", "EPILOGUE"), ("MATMUL", "LOAD")}
    needed |= {("GATHER", "EPILOGUE"), ("GATHER", "LOAD"), ("INDEX", "EPILOGUE"), ("LOAD", "INDEX"), ("NEXT", "LOAD")}
    assert needed <= set(caught)


class Order:
    """What must have happened before an instruction begins: by the units' own order and by waits (section 4)."""

    def __init__(self, code: npt.NDArray[np.int64]) -> None:
        self.units = [FORMATS[Opcode(int(opcode))].unit for opcode in code[:, 0]]
        self.rows: dict[Unit, list[int]] = {unit: [] for unit in Unit}
        self.before: list[int | None] = []
        for row, unit in enumerate(self.units):
            self.before.append(self.rows[unit][-1] if self.rows[unit] else None)
            self.rows[unit].append(row)
        self.waits = [
            [
                self.rows[Unit(int(line[w]))][int(line[w + 1]) - 1]
                for w in range(1, 1 + 2 * WAITS, 2)
                if line[w] and line[w + 1] > 0
            ]
            for line in code
        ]

    def implied(self, row: int, without: int) -> bool:
        """Whether ``without`` is complete before ``row`` begins even if ``row`` does not wait for it.

        An event is (whether it is a completion or a beginning, row).
        """
        todo = [(True, other) for other in self.waits[row] if other != without] + self._own_order(row)
        seen = set(todo)
        while todo:
            completion, at = todo.pop()
            if completion and self.units[at] == self.units[without] and at >= without:
                return True
            follow = self._own_order(at) + [(True, other) for other in self.waits[at]]
            before = self.before[at]
            if completion and before is not None:
                follow.append((True, before))
            for event in follow:
                if event not in seen:
                    seen.add(event)
                    todo.append(event)
        return False

    def _own_order(self, row: int) -> list[tuple[bool, int]]:
        """LOAD and ARRAY overlap their instructions: those only begin in order."""
        before = self.before[row]
        if before is None:
            return []
        return [(self.units[row] not in (Unit.LOAD, Unit.ARRAY), before)]


@pytest.mark.parametrize("preset", ["ultra96", "4x4"])
def test_no_wait_is_implied_by_the_others(preset: str) -> None:
    program, _ = gated(preset)
    order, waits = Order(program.code), 0
    for row, others in enumerate(order.waits):
        for other in others:
            waits += 1
            assert other < row, "waits only name earlier instructions"
            assert not order.implied(row, other), f"instruction {row} need not wait for {other}"
    assert waits == len(wait_places(program)) > 100


def test_waits_of_readers_and_writers() -> None:
    emitter = Emitter(ArchConfig())
    emitter.emit(Opcode.LOAD, [writes("scratchpad", 0, 640)])
    emitter.emit(Opcode.GATHER, [reads("scratchpad", 576, 600), writes("patch", 0, 32)])
    emitter.emit(Opcode.GATHER, [reads("scratchpad", 640, 700), writes("patch", 32, 48)])
    emitter.emit(Opcode.MATMUL, [reads("patch", 0, 32), reads("patch", 32, 48), writes("accumulator", 0, 1)])
    emitter.emit(Opcode.EPILOGUE, [reads("accumulator", 0, 1), writes("scratchpad", 576, 592)], tile=1)
    emitter.emit(Opcode.GATHER, [reads("scratchpad", 0, 64), writes("patch", 0, 16)])
    code = emitter.finish(0)
    waits = [[(int(line[w]), int(line[w + 1])) for w in (1, 3, 5) if line[w]] for line in code]
    load, gather, array = int(Unit.LOAD), int(Unit.GATHER), int(Unit.ARRAY)
    assert waits == [[], [(load, 1)], [], [(gather, 2)], [(array, 1)], [(array, 1)], []]


def test_what_the_epilogue_reads_early_is_waited_for_before_it() -> None:
    emitter = Emitter(ArchConfig())
    emitter.emit(Opcode.LOAD, [writes("parameter", 0, 16)])
    emitter.emit(Opcode.EPILOGUE, [reads("parameter", 0, 16)._replace(early=True)], tile=1, pixel_count=3)
    emitter.emit(Opcode.EPILOGUE, [reads("parameter", 4, 8)._replace(early=True)], tile=1, pixel_count=3)
    code = emitter.finish(0)
    assert [Opcode(int(line[0])).name for line in code] == ["LOAD", "EPILOGUE", "EPILOGUE", "EPILOGUE", "END"]
    assert code[1, 1:3].tolist() == [Unit.LOAD, 1], "an epilogue without work waits; the next one starts after it"
    assert not code[2:, 1:7].any()


@pytest.mark.parametrize("entries", [64, 128, 1024])
def test_pages_hold_all_instructions_and_lead_to_the_next(entries: int) -> None:
    arch = ArchConfig(instruction_entries=entries)
    emitter = Emitter(arch)
    for number in range(500):
        emitter.emit(Opcode.GATHER, [writes("patch", 16 * (number % 64), 16 * (number % 64) + 16)])
    code = emitter.finish(4096)
    starts = [*emitter.page_starts, len(code)]
    for page, (first, end) in enumerate(pairwise(starts)):
        assert 0 < end - first <= arch.page_instructions
        last = page == len(starts) - 2
        assert code[end - 1, 0] == (Opcode.END if last else Opcode.NEXT)
    assert (code[:, 0] == Opcode.GATHER).sum() == 500 and len(starts) > 5
    assert (np.diff(starts)[1:-1] == np.diff(starts)[1]).all()
