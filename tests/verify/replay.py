"""Scripts for ``replay.sv``: what a machine shows that does as expected, and places to bend it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gatewright.contract.arch import BEAT_BYTES
from gatewright.contract.isa import Unit
from gatewright.contract.registers import IDENTIFIER, REGISTERS, UNIT_NAMES
from gatewright.verify.expectations import Expectation, WriteSequence
from gatewright.verify.lockstep import BASE
from gatewright.verify.memory_files import words as file_words

_FLAGS = {"dispatch": (32, 1), "dispatch_unit": (33, 4), "control": (37, 1), "start": (38, 8), "run": (46, 8)}
_FLAGS |= {"retire": (54, 8), "stop": (62, 1), "error": (63, 1), "boot": (64, 1), "write": (65, 1)}
_FLAGS |= {"write_unit": (66, 4), "write_address": (70, 20), "write_count": (90, 6), "write_data": (96, 384)}

Row = dict[str, int]


@dataclass
class Replay:
    """Signals by cycle, bursts (cycle on the bus, address, beats) and beats to write (cycle, data, strobe, last)."""

    rows: dict[int, Row] = field(default_factory=lambda: defaultdict(dict))
    reads: list[tuple[int, int, int]] = field(default_factory=list)
    writes: list[tuple[int, int, int]] = field(default_factory=list)
    beats: list[tuple[int, int, int, int]] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=dict)
    unstable: bool = False
    mute: bool = False
    answers: int | None = None
    """Write answers that the end of the program waits for; by default one for each burst."""

    def set(self, cycle: int, name: str, value: int) -> None:
        """Show a signal in a cycle; bits of start, run and retire are added to those there."""
        previous = self.rows[cycle].get(name, 0) if name in ("start", "run", "retire") else 0
        self.rows[cycle][name] = previous | value

    def move(self, name: str, bit: int, cycle: int, to: int | None) -> None:
        """Show one bit of a signal in another cycle, or not at all."""
        assert self.rows[cycle].get(name, 0) & bit, (name, bit, cycle)
        self.rows[cycle][name] &= ~bit
        if to is not None:
            self.set(to, name, bit)

    def save(self, folder: Path) -> None:
        """Write the files for ``replay.sv``."""
        folder.mkdir(parents=True, exist_ok=True)
        script = []
        for cycle in sorted(self.rows):
            bits = cycle
            for name, value in self.rows[cycle].items():
                low, width = _FLAGS[name]
                assert 0 <= value < 1 << width, (name, value)
                bits |= value << low
            script.append(bits.to_bytes(60, "little"))
        answers = len(self.writes) if self.answers is None else self.answers
        sizes = (len(script), len(self.reads), len(self.writes), len(self.beats), self.unstable, answers, self.mute, 0)
        by_offset = {r.offset // 4: self.registers.get(r.name, 0) for r in REGISTERS}
        bursts = [[(b - 1) | (a + BASE) << 8 | c << 40 for c, a, b in part] for part in (self.reads, self.writes)]
        beats = [last | strobe << 8 | data << 24 | cycle << 152 for cycle, data, strobe, last in self.beats]
        for name, width, values in (
            ("sizes", 4, [int(size) for size in sizes]),
            ("ar", 9, bursts[0]),
            ("aw", 9, bursts[1]),
            ("w", 23, beats),
            ("registers", 4, [by_offset.get(i, 0) for i in range(64)]),
        ):
            _write(folder / f"replay_{name}.bin", [value.to_bytes(width, "little") for value in values])
        _write(folder / "replay_script.bin", script)


def _write(path: Path, words: list[bytes]) -> None:
    if words:
        path.write_bytes(file_words(np.frombuffer(b"".join(words), np.uint8).reshape(len(words), -1)))


def faithful(expectation: Expectation) -> Replay:
    """A machine that does as expected. Scratchpad writes are spread over the run; there may be as many as cycles."""
    replay = Replay()
    records = expectation.trace.records
    for record in records:
        unit, bit = int(record["unit"]), 1 << int(record["unit"])
        if unit == Unit.SEQUENCER:
            replay.set(int(record["dispatch"]), "control", 1)
            continue
        replay.set(int(record["dispatch"]), "dispatch", 1)
        replay.set(int(record["dispatch"]), "dispatch_unit", unit)
        for signal, cycle in (("start", record["start"]), ("run", record["run"]), ("retire", record["done"] - 1)):
            replay.set(int(cycle), signal, bit)
    replay.set(expectation.cycles - 1, "stop", 1)
    writes = expectation.writes
    cycle = 1
    for unit, sequence in writes.scratchpad.items() if writes is not None else ():
        for row in range(len(sequence)):
            replay.set(cycle, "write", 1)
            replay.set(cycle, "write_unit", unit)
            replay.set(cycle, "write_address", int(sequence.addresses[row]))
            replay.set(cycle, "write_count", int(sequence.counts[row]))
            replay.set(cycle, "write_data", int.from_bytes(sequence.data[row].tobytes(), "little"))
            cycle += 1
    if writes is not None:
        _store(replay, expectation, writes.dram)
    registers = {"ID": IDENTIFIER, "CYCLES": expectation.cycles, "INSTRUCTIONS": len(records)}
    registers["IMAGE"] = expectation.images.count
    for name in UNIT_NAMES:
        registers[f"COMPLETED_{name}"] = len(expectation.of_unit(Unit[name]))
    replay.registers = registers
    return replay


def _store(replay: Replay, expectation: Expectation, sequence: WriteSequence) -> None:
    """STORE's bursts, on the bus from the cycle after its start on."""
    starts = {int(r["instruction"]): int(r["start"]) for r in expectation.of_unit(Unit.STORE)}
    first = 0
    for row in range(len(sequence)):
        instruction, address = int(sequence.instructions[row]), int(sequence.addresses[row])
        following = row + 1
        last = (
            following == len(sequence)
            or int(sequence.instructions[following]) != instruction
            or int(sequence.addresses[following]) % 4096 == 0
        )
        data = int.from_bytes(sequence.data[row][:BEAT_BYTES].tobytes(), "little")
        replay.beats.append((starts[instruction] + 1, data, 0xFFFF, int(last)))
        if last:
            replay.writes.append((starts[instruction] + 1, int(sequence.addresses[first]), following - first))
            first = following
        assert address % BEAT_BYTES == 0
