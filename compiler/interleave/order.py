"""The order in which the instructions of several programs run on one machine: list scheduling with expected cycles.

Every unit executes the instructions of each program in that program's order. Which program's is next is decided anew
each time: the one that can begin first, and of several the shortest: on gates more depends than they take. What an
instruction must follow, it follows from what it reads and writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gatewright.compiler.emit.users import UNITS, Users
from gatewright.compiler.interleave.places import PATCH, SCRATCHPAD, WEIGHT
from gatewright.compiler.interleave.pools import Pool
from gatewright.compiler.interleave.recording import Recorded, Region
from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.encodings import REGION_UNIT
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import QUEUED_UNITS, Unit

GRANULES = {SCRATCHPAD: BEAT_BYTES, PATCH: REGION_UNIT, WEIGHT: REGION_UNIT}
"""Addresses of a memory that are looked at as one."""

PORTS = "port B", "table port", "filters in DRAM"
"""What has no arbiter: its users follow one another, whosever they are."""


class HeldUpError(GatewrightError):
    """Programs wait for memory that others hold."""


class Cost(NamedTuple):
    """Expected cycles of an instruction: its unit is ``busy``, and what it does is there ``latency`` later."""

    busy: int
    latency: int


class Placed(NamedTuple):
    """An instruction of program ``program`` in its turn, and where its regions lie, by number."""

    begin: int
    program: int
    instruction: Recorded


class Interleaved(NamedTuple):
    """All instructions in order, the base of each region (program, number), and the expected cycles."""

    order: list[Placed]
    bases: dict[tuple[int, int], int]
    cycles: int


def interleave(
    programs: Sequence[Sequence[Recorded]],
    costs: Sequence[Sequence[Cost]],
    sizes: Mapping[str, tuple[int, int]],
    shares: Mapping[str, float],
) -> Interleaved:
    """Order the instructions of ``programs``.

    ``costs`` of each instruction; ``sizes`` (addresses, granule) of each pool, and the ``shares`` of them that a
    program may hold. Raises ``HeldUpError`` if they hold each other up.
    """
    return _Turns(programs, costs, sizes, shares).run()


class _Turns:
    def __init__(
        self,
        programs: Sequence[Sequence[Recorded]],
        costs: Sequence[Sequence[Cost]],
        sizes: Mapping[str, tuple[int, int]],
        shares: Mapping[str, float],
    ) -> None:
        self.programs, self.costs = programs, costs
        self.pools = {m: Pool(size, granule, int(size * shares[m])) for m, (size, granule) in sizes.items()}
        self.queues = [_queues(program) for program in programs]
        self.heads = [[0] * UNITS for _ in programs]
        self.needed = [_needs(program, sizes) for program in programs]
        self.done = [[[0] for _ in range(UNITS)] for _ in programs]
        self.free = [0] * UNITS
        self.ports = dict.fromkeys(PORTS, 0)
        self.left = [_uses_left(program) for program in programs]
        self.bases: dict[tuple[int, int], int] = {}
        self.moments: dict[tuple[int, int], int] = defaultdict(int)

    def run(self) -> Interleaved:
        order: list[Placed] = []
        total = sum(map(len, self.programs))
        while len(order) < total:
            ready = min(self._candidates(), default=None)
            if ready is None:
                raise HeldUpError("images that share the machine hold each other up; take fewer in flight")
            begin, _, _, program, number = ready
            self._begin(begin, program, number)
            order.append(Placed(begin, program, self.programs[program][number]))
        order.sort(key=lambda placed: placed.begin)  # stable: what follows at once stays behind
        return Interleaved(order, self.bases, max(max(done[unit]) for done in self.done for unit in range(UNITS)))

    def _candidates(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Of each program and unit the next instruction, if it is known when it may begin, the best one smallest."""
        for program, queues in enumerate(self.queues):
            for unit in QUEUED_UNITS:
                head = self.heads[program][unit]
                if head < len(queues[unit]):
                    number = queues[unit][head]
                    begin = self._earliest(program, number, unit)
                    if begin is not None:
                        yield (
                            begin,
                            self.costs[program][number].busy,
                            self.programs[program][number].image,
                            program,
                            number,
                        )

    def _earliest(self, program: int, number: int, unit: Unit) -> int | None:
        begin, done = self.free[unit], self.done[program]
        for other, count in self.needed[program][number]:
            if count >= len(done[other]):
                return None
            begin = max(begin, done[other][count])
        instruction = self.programs[program][number]
        for use in instruction.uses:
            if use.access.memory in self.ports:
                begin = max(begin, self.ports[use.access.memory])
        for region in self._new(program, instruction):
            room = self.pools[region.memory].earliest(region, program, begin)
            if room is None:
                return None
            begin = room[0]
        return begin

    def _new(self, program: int, instruction: Recorded) -> list[Region]:
        """Regions that the instruction is the first to use."""
        return list({r for r in _regions(instruction) if (program, r.number) not in self.bases})

    def _begin(self, begin: int, program: int, number: int) -> None:
        instruction, cost = self.programs[program][number], self.costs[program][number]
        unit = instruction.unit
        for region in self._new(program, instruction):
            room = self.pools[region.memory].earliest(region, program, begin)
            assert room is not None
            self.pools[region.memory].take(region, program, room[1])
            self.bases[program, region.number] = room[1]
        self.heads[program][unit] += 1
        self.free[unit] = begin + cost.busy
        done = max(begin + cost.busy + cost.latency, self.done[program][unit][-1])
        self.done[program][unit].append(done)
        for use in instruction.uses:
            if use.access.memory in self.ports:
                self.ports[use.access.memory] = done
        for region in _regions(instruction):
            key = program, region.number
            self.moments[key] = max(self.moments[key], done)
            self.left[program][region.number] -= 1
            if not self.left[program][region.number]:
                self.pools[region.memory].release(region, program, self.moments[key])


def _regions(instruction: Recorded) -> set[Region]:
    """All that an instruction names or uses."""
    used = {use.region for use in instruction.uses} | {named.region for named in instruction.named}
    return {region for region in used if region is not None}


def _queues(program: Sequence[Recorded]) -> list[list[int]]:
    queues: list[list[int]] = [[] for _ in range(UNITS)]
    for number, instruction in enumerate(program):
        queues[instruction.unit].append(number)
    return queues


def _uses_left(program: Sequence[Recorded]) -> dict[int, int]:
    left: dict[int, int] = defaultdict(int)
    for instruction in program:
        for region in _regions(instruction):
            left[region.number] += 1
    return left


def _needs(program: Sequence[Recorded], sizes: Mapping[str, tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Of every instruction (unit, count): what its program's instructions it must follow, were no region reused."""
    memories, begins = _memories(program, sizes)
    users, counts, needs = Users(memories), [0] * UNITS, []
    for instruction in program:
        spans = users.spans([_virtual(use.access, use.region, begins) for use in instruction.uses if _kept(use.access)])
        before = users.before(spans)
        unit = instruction.unit
        needs.append([(other, count) for other, count in enumerate(before) if count and other != unit])
        counts[unit] += 1
        users.record(spans, unit, counts[unit])
    return needs


def _kept(access: Sequence[object]) -> bool:
    return access[0] not in PORTS


def _virtual(
    access: tuple[str, int, int, bool, bool], region: Region | None, begins: dict[int, int]
) -> tuple[str, int, int, bool, bool]:
    memory, low, high, write, early = access
    if region is None:
        return memory, low, high, write, early
    by = begins[region.number] - region.low
    return memory, low + by, high + by, write, early


def _memories(
    program: Sequence[Recorded], sizes: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, tuple[int, int]], dict[int, int]]:
    """Memories in which every region has a place of its own, and where that begins."""
    ends = dict.fromkeys(sizes, 0)
    begins: dict[int, int] = {}
    most: dict[str, int] = {}
    for instruction in program:
        for use in instruction.uses:
            if use.region is None and use.access.memory not in PORTS:
                most[use.access.memory] = max(most.get(use.access.memory, 0), use.access.high)
        for region in _regions(instruction):
            if region.number not in begins:
                granule = sizes[region.memory][1]
                begins[region.number] = ends[region.memory]
                ends[region.memory] += -(-(region.high - region.low) // granule) * granule
    fixed = {memory: (max(high, 1), GRANULES.get(memory, 1)) for memory, high in most.items()}
    return fixed | {memory: (end, sizes[memory][1]) for memory, end in ends.items() if end}, begins
