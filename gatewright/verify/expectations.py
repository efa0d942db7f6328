"""What the RTL has to do on one program, taken from the simulators, and the files in which the monitor reads it.

Cycles, the final scratchpad, DRAM and logits are the fast simulator's. The order, addresses and bytes of
single writes are the stepped simulator's, which takes seconds for an image and may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import BEAT_BYTES, PORT_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import ONE_IMAGE, Images
from gatewright.contract.isa import Unit
from gatewright.contract.program import Program
from gatewright.contract.trace import Trace, first_difference
from gatewright.sim.fast.machine import simulate, simulate_images
from gatewright.sim.result import SimResult
from gatewright.sim.stepped.machine import SteppedMachine
from gatewright.verify.memory_files import Bytes, as_beats, little, padded, words


@dataclass(frozen=True)
class WriteSequence:
    """Writes in order: ``addresses`` [n], ``counts`` [n], ``data`` uint8 [n, widest] (zero beyond the count),
    and the program's ``instructions`` [n] that made them."""

    addresses: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    data: Bytes
    instructions: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.addresses)


@dataclass(frozen=True)
class Writes:
    """Every single write of a run: to the ``scratchpad``, by the unit that made it, and of a beat to ``dram``."""

    scratchpad: dict[Unit, WriteSequence]
    """Only units that wrote, in their order; a unit's instructions run in order, so its writes have one."""
    dram: WriteSequence

    @property
    def sequences(self) -> list[WriteSequence]:
        return [*self.scratchpad.values(), self.dram]

    @property
    def capacity(self) -> int:
        """Entries of the monitor's tables of writes."""
        return max(sum(len(s) for s in self.scratchpad.values()), len(self.dram))


@dataclass(frozen=True)
class Expectation:
    """One program's run, of one image or of several. ``writes`` None: single writes are not compared."""

    program: Program
    image: Bytes
    """DRAM before the run."""
    trace: Trace
    outputs: dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]]
    dram: Bytes
    scratchpad: Bytes
    writes: Writes | None
    images: Images = ONE_IMAGE

    @property
    def cycles(self) -> int:
        return self.trace.cycles

    def of_unit(self, unit: Unit) -> npt.NDArray[np.void]:
        """The trace records of a unit's instructions, in order."""
        records = self.trace.records
        return records[records["unit"] == unit]

    def instruction(self, unit: Unit, number: int) -> int | None:
        """Row in the program of a unit's instruction ``number``, or None beyond the last."""
        records = self.of_unit(unit)
        return int(records[number]["instruction"]) if 0 <= number < len(records) else None


def expect(program: Program, sample: npt.NDArray[np.int8] | None = None, *, writes: bool = True) -> Expectation:
    """Simulate ``program`` on a sample (int8; without one, on the image's own input).

    ``writes`` also runs the stepped simulator, whose cycles must be the fast one's, and notes every write.
    """
    return _expectation(program, program.with_sample(sample), simulate(program, sample), ONE_IMAGE, writes)


def expect_images(program: Program, image: Bytes, images: Images, *, writes: bool = True) -> Expectation:
    """``expect`` for several images in one start, with the DRAM and what the machine is told of ``contract.images``."""
    return _expectation(program, image, simulate_images(program, image, images), images, writes)


def _expectation(program: Program, image: Bytes, fast: SimResult, images: Images, writes: bool) -> Expectation:
    noted = None
    if writes:
        trace, noted = _step(program, image, fast.cycles, images)
        difference = first_difference(fast.trace, trace)
        if difference is not None:
            raise GatewrightError(
                f"the fast and the stepped simulator disagree ({difference}); the RTL cannot be compared with both"
            )
    return Expectation(program, image.copy(), fast.trace, fast.outputs, fast.dram, fast.scratchpad, noted, images)


class _Write(NamedTuple):
    unit: Unit
    address: int
    data: Bytes
    instruction: int


def _watched(memory: Any, method: str) -> list[_Write]:
    """A list of what will pass through a memory's write port."""
    noted: list[_Write] = []
    original = getattr(memory, method)

    def write(address: int, data: npt.NDArray[Any], user: Any) -> None:
        if len(data):
            noted.append(_Write(user.unit, int(address), data.view(np.uint8).copy(), user.row))
        original(address, data, user)

    setattr(memory, method, write)
    return noted


def _sequence(noted: list[_Write]) -> WriteSequence:
    table = np.zeros((len(noted), max((len(w.data) for w in noted), default=1)), np.uint8)
    for row, write in zip(table, noted, strict=True):
        row[: len(write.data)] = write.data
    return WriteSequence(
        np.array([w.address for w in noted], np.int64),
        np.array([len(w.data) for w in noted], np.int64),
        table,
        np.array([w.instruction for w in noted], np.int64),
    )


def _by_unit(noted: list[_Write]) -> dict[Unit, WriteSequence]:
    return {unit: _sequence([w for w in noted if w.unit == unit]) for unit in sorted({w.unit for w in noted})}


def _step(program: Program, image: Bytes, cycles: int, images: Images) -> tuple[Trace, Writes]:
    """Run the stepped machine with its write ports watched."""
    machine = SteppedMachine(program, image, images=images)
    scratchpad, dram = _watched(machine.shared.scratchpad, "write_b"), _watched(machine.shared.dram, "write")
    while not machine.sequencer.stopped:
        if machine.shared.clock.cycle > 2 * cycles:
            raise GatewrightError(f"the stepped simulator runs for more than twice the fast one's {cycles} cycles")
        machine.step()
    return machine.trace(), Writes(_by_unit(scratchpad), _sequence(dram))


SETTINGS = 48
EVENTS, WRITES = 16, 32
"""Where the monitor's settings hold each unit's number of instructions (of writes to the scratchpad), and then each
unit's first place in ``events.bin`` (in ``scratchpad_writes.bin``)."""

_EVENTS = (("dispatch", 0), ("start", 0), ("run", 0), ("done", -1))
"""The fields of the trace, and the cycle of the RTL's signal relative to each."""

STOP_LIMIT = 1_000_000
"""Clock cycles in which a program that must stop the machine with an error has done so."""

STALL_FACTOR, STALL_ALLOWANCE = 50, 200_000
"""With random stalls a program may take so many times its cycles, and so many more."""


GRACE = 2000
"""Cycles that the monitor waits for a missing event, to say how late it is."""


def cycle_limit(expectation: Expectation, *, exact: bool) -> int:
    """Cycles after which a program is given up."""
    cycles = expectation.cycles
    return cycles + GRACE if exact else STALL_FACTOR * cycles + STALL_ALLOWANCE


def write_files(expectation: Expectation, folder: Path, *, exact: bool) -> None:
    """Write everything that ``monitor.sv`` and ``dram_model.sv`` read for an image into ``folder``.

    ``exact`` compares cycles too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records, writes = expectation.trace.records, expectation.writes
    settings = np.zeros(SETTINGS, np.int64)
    settings[:6] = (
        exact,
        writes is not None,
        writes is not None,
        expectation.cycles - 1,
        cycle_limit(expectation, exact=exact),
        GRACE,
    )
    settings[6] = len(records)
    by_unit = np.argsort(records["unit"], kind="stable")
    _set_groups(settings, EVENTS, np.bincount(records["unit"], minlength=len(Unit)))
    if writes is not None:
        settings[7] = len(writes.dram)
        _set_groups(settings, WRITES, np.array([len(writes.scratchpad.get(unit, ())) for unit in Unit]))
    (folder / "settings.bin").write_bytes(words(little(settings, 4)))
    seen = [little(records[field][by_unit] + offset, 4) for field, offset in _EVENTS]
    (folder / "events.bin").write_bytes(words(np.hstack(seen)))
    (folder / "order.bin").write_bytes(words(little(records["unit"], 1)))
    if writes is not None:
        with (folder / "scratchpad_writes.bin").open("wb") as file:
            for w in writes.scratchpad.values():
                rows = np.hstack([padded(w.data, PORT_BYTES), little(w.counts, 1), little(w.addresses, 3)])
                file.write(words(rows))
        w = writes.dram
        rows = np.hstack([padded(w.data, BEAT_BYTES), little(w.addresses, 4)])
        (folder / "dram_writes.bin").write_bytes(words(rows))
    (folder / "dram.bin").write_bytes(words(as_beats(expectation.image)))


def _set_groups(settings: npt.NDArray[np.int64], place: int, totals: npt.NDArray[np.int64]) -> None:
    """For a file of records grouped by unit, ``totals`` [units]: how many each has, and where its first one is."""
    settings[place : place + 2 * len(Unit)] = np.concatenate([totals, np.cumsum(totals) - totals])
