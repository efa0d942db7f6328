"""Coverage: how often each opcode was held by what, at which edge, with a steady memory and with one that pauses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import COVERAGE
from gatewright.contract.isa import Opcode
from gatewright.contract.schema import Count, Total, format_of, load_json, parse
from gatewright.contract.whole_file import whole_file
from gatewright.verify.expectations import Expectation
from gatewright.verify.kit.coverage.edges import EDGES, edges_of
from gatewright.verify.kit.coverage.executed import executed
from gatewright.verify.kit.coverage.held import Held, held
from gatewright.verify.kit.coverage.impossible import NO_SUCH_SIZE, why_no_edge, why_not_held

ANY = "any"
"""In the place of what holds an instruction, or of an edge: whichever it is, each instruction once."""


class Memory(StrEnum):
    """How the DRAM behaved: as the machine's model of it says, or with random pauses on every channel."""

    STEADY = "steady"
    PAUSING = "pausing"


@dataclass(frozen=True)
class Programs:
    """``count`` programs of a kind, from the seed ``first`` on; ``stall``: of the memory's pauses, 0 for none."""

    kind: str
    first: Count
    count: Count
    stall: Count

    def overlaps(self, other: Programs) -> bool:
        """Whether some program is of both."""
        same = (self.kind, self.stall) == (other.kind, other.stall)
        return same and self.first < other.first + other.count and other.first < self.first + self.count


@dataclass(frozen=True)
class Place:
    """A place that could be reached: an opcode, and what holds it or an edge."""

    opcode: str
    what: str


@dataclass(frozen=True)
class Barred:
    """A place that no program can reach."""

    opcode: str
    what: str
    why: str


@dataclass(frozen=True)
class _File:
    """What ``Coverage.save`` writes. ``counts``: by memory, opcode, what held it (or any), and edge (or any)."""

    format: str
    arch: ArchConfig
    programs: list[Programs]
    instructions: Total
    counts: dict[str, dict[str, dict[str, dict[str, Total]]]]
    never: list[Place]
    impossible: list[Barred]


class Coverage:
    """Counts of instructions of one machine, over any number of programs."""

    def __init__(self, arch: ArchConfig) -> None:
        self.arch = arch
        self.programs: list[Programs] = []
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    @property
    def instructions(self) -> int:
        """All that were executed."""
        return sum(self.count(opcode) for opcode in Opcode)

    def add(self, expectation: Expectation, seen: npt.NDArray[np.int64] | None = None) -> None:
        """Count a program's instructions, in the simulator's cycles or in those that the RTL was ``seen`` to take.

        The second are what ``lockstep.Verified.seen`` holds, of a memory that pauses.
        """
        memory = Memory.STEADY if seen is None else Memory.PAUSING
        for one, conditions in held(self.arch, executed(expectation, seen)):
            assert one.opcode is not None
            for condition in (*conditions, ANY):
                for edge in (*edges_of(self.arch, one), ANY):
                    self._counts[memory, one.opcode.name, condition, edge] += 1

    def refuse_twice(self, kind: str, seeds: range, stall: int = 0, where: str = "the coverage") -> None:
        """A ``GatewrightError`` if some of these programs are counted already."""
        new = Programs(kind, seeds.start, len(seeds), stall)
        if any(one.overlaps(new) for one in self.programs):
            raise GatewrightError(
                f"{where} already counts programs of kind {kind} among the seeds {seeds.start} to {seeds.stop - 1}: "
                "take other seeds, or another file"
            )

    def note(self, kind: str, seeds: range, stall: int = 0) -> None:
        """Say which programs were added; ``stall`` is the seed of the memory's pauses."""
        self.refuse_twice(kind, seeds, stall)
        if not len(seeds):
            return
        first = seeds.start
        for one in self.programs:
            if (one.kind, one.stall, one.first + one.count) == (kind, stall, first):
                self.programs.remove(one)
                first = one.first
                break
        self.programs.append(Programs(kind, first, seeds.stop - first, stall))

    def count(self, opcode: Opcode, condition: str = ANY, edge: str = ANY, memory: Memory | None = None) -> int:
        """Instructions of an opcode that were held so and had such an edge; of both memories if none is given."""
        memories = Memory if memory is None else (memory,)
        return sum(self._counts[one, opcode.name, condition, edge] for one in memories)

    def never(self) -> Iterator[Place]:
        """Places that a program could have reached, and none has."""
        for opcode in Opcode:
            for condition in Held:
                if why_not_held(opcode, condition) is None and not self.count(opcode, condition):
                    yield Place(opcode.name, condition.value)
            for edge in EDGES:
                if why_no_edge(opcode, edge.name, self.arch) is None and not self.count(opcode, edge=edge.name):
                    yield Place(opcode.name, edge.name)

    def pairs(self, opcode: Opcode) -> tuple[int, int]:
        """(reached, possible) of what holds an opcode at an edge, as far as each of the two can be."""
        conditions = [condition for condition in Held if why_not_held(opcode, condition) is None]
        edges = [edge.name for edge in EDGES if why_no_edge(opcode, edge.name, self.arch) is None]
        reached = sum(bool(self.count(opcode, condition, edge)) for condition in conditions for edge in edges)
        return reached, len(conditions) * len(edges)

    def merge(self, other: Coverage) -> None:
        """Add the counts of another one. Of another machine, or of programs that are in both: a ``GatewrightError``."""
        self.refuse_other_machine(other.arch)
        for one in other.programs:
            self.refuse_twice(one.kind, range(one.first, one.first + one.count), one.stall)
        for one in other.programs:
            self.note(one.kind, range(one.first, one.first + one.count), one.stall)
        self._counts.update(other._counts)

    def refuse_other_machine(self, arch: ArchConfig, where: str = "the coverage") -> None:
        """A ``GatewrightError`` if it is not one of this machine."""
        if arch != self.arch:
            raise GatewrightError(f"{where} is that of another machine, {self.arch.name}: take another file")

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        tree: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
        for (memory, opcode, condition, edge), count in sorted(self._counts.items()):
            tree.setdefault(memory, {}).setdefault(opcode, {}).setdefault(condition, {})[edge] = count
        barred = list(impossible(self.arch))
        file = _File(COVERAGE.name, self.arch, self.programs, self.instructions, tree, list(self.never()), barred)
        with whole_file(path) as partial:
            partial.write_text(json.dumps(asdict(file), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> Coverage:
        """Read what ``save`` wrote; a damaged file is a ``GatewrightError``."""
        what = f"coverage {path}"
        try:
            text = path.read_bytes()
        except OSError as error:
            raise GatewrightError(f"{what} cannot be read ({error.strerror}); {COVERAGE.fix}") from error
        data = load_json(text, what, COVERAGE.fix)
        COVERAGE.check(format_of(data), what)
        file = parse(_File, data, what, COVERAGE.fix)
        found = Coverage(file.arch)
        found.programs = file.programs
        edges_known = {ANY, *(edge.name for edge in EDGES)}
        names: tuple[set[str], ...] = (set(Memory), set(Opcode.__members__), {*Held, ANY}, edges_known)
        for memory, opcodes in file.counts.items():
            for opcode, conditions in opcodes.items():
                for condition, edges in conditions.items():
                    for edge, count in edges.items():
                        key = (memory, opcode, condition, edge)
                        wrong = [part for part, known in zip(key, names, strict=True) if part not in known]
                        if wrong:
                            raise GatewrightError(f"{what}: {wrong[0]!r} is unknown; {COVERAGE.fix}")
                        found._counts[key] = count
        return found


def impossible(arch: ArchConfig) -> Iterator[Barred]:
    """What no program can reach on a machine, and why; not the sizes that an opcode does not have."""
    for opcode in Opcode:
        for condition in Held:
            if (why := why_not_held(opcode, condition)) is not None:
                yield Barred(opcode.name, condition.value, why)
        for edge in EDGES:
            why = why_no_edge(opcode, edge.name, arch)
            if why is not None and why != NO_SUCH_SIZE:
                yield Barred(opcode.name, edge.name, why)
