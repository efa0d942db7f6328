"""Runs a program on a machine: memory, start, end, outputs, errors; one start, or as many as the images need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .counters import Counters
from .errors import DriverError, LostError, RingFullError, TimedOutError, WrongInputError
from .layout import Layout, Ring
from .machine import Machine, Registers, check_machine, identify
from .program import Program
from .registers import ABORT, ALIGNMENT, DONE, ENABLE, ERROR, OFFSETS, READY, START
from .results import ImageResult, RunResult, StartResult, belonging_to
from .stops import stop_of

SLOTS = 16
"""Of a ring, unless asked for others."""

MOST_SLOTS = 65_535
"""That the registers INPUT_SLOTS and OUTPUT_SLOTS hold."""

PATIENCE = 10_000
"""Looks at STATUS after which a machine that should be ready, or have stopped, never will."""


def slots_of(program: Program, slots: int | None) -> int:
    """Places in the rings of a program: so many, or by default 16, or 1 if it has its input or outputs at one place.

    Raises
    ------
    DriverError
        It is a number that the registers cannot hold, or more than 1 for a program without rings.
    """
    why = program.why_no_rings()
    if slots is None:
        return 1 if why else SLOTS
    if not 1 <= slots <= MOST_SLOTS:
        raise DriverError(f"slots = {slots} is not 1 to {MOST_SLOTS}")
    if why and slots > 1:
        raise RingFullError(
            f"{program.path.name} can only be started for each image, since {why}: take slots = 1, or compile it "
            "again for several images in one start"
        )
    return slots


class Driver:
    """A program on a machine, ready to run. Close it, or use it in a ``with`` block, to free its memory.

    Parameters
    ----------
    machine
        A board (``on_pynq``), the Verilated RTL (``verilated``), or anything else with its methods.
    program
        From ``load_program``. One for another machine is an error that names both.
    slots
        Places in the rings of inputs and outputs: images of a start (times the images that the program runs at a
        time). By default 16, or 1 for a program that has its input or outputs at one place.
    wait
        ``interrupt``, or ``poll`` to look at STATUS.
    timeout
        Seconds for a start; None: for ever.
    cycle_limit
        Cycles after which the machine stops by itself, with an error; 0: never.
    """

    def __init__(
        self,
        machine: Machine,
        program: Program,
        slots: int | None = None,
        wait: str = "interrupt",
        timeout: float | None = 10.0,
        cycle_limit: int = 0,
    ) -> None:
        if wait not in ("interrupt", "poll"):
            raise DriverError(f"wait = {wait!r} is not 'interrupt' or 'poll'")
        self.program, self._machine = program, machine
        self._by_interrupt, self._timeout, self._cycle_limit = wait == "interrupt", timeout, cycle_limit
        self._registers = Registers(machine)
        self.machine = identify(self._registers)
        check_machine(self.machine, program)
        self.slots = slots_of(program, slots)
        self._layout = Layout.of(program, self.slots, rings=not program.why_no_rings())
        self._running: int | None = None
        self._buffer = machine.allocate(self._layout.size + ALIGNMENT)
        skip = -int(self._buffer.device_address) % ALIGNMENT
        self._base = int(self._buffer.device_address) + skip
        if self._base + self._layout.size > 1 << 32:
            self.close()
            raise DriverError(f"the buffer lies at {self._base:#x}, beyond the machine's 32 bits; allocate it lower")
        # A plain array: slices of pynq's buffers are buffers themselves.
        self._memory: Any = np.asarray(self._buffer)[skip : skip + self._layout.size]
        self._memory[: len(program.image)] = program.image

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what runs, and free the memory."""
        if self._buffer is None:
            return
        if self._running is not None:
            self._abort()
        buffer, self._buffer, self._memory = self._buffer, None, None
        buffer.freebuffer()

    # A start, its end.

    @property
    def images_of_a_start(self) -> int:
        """The most images that a start takes."""
        return self.slots * self.program.images

    def start(self, samples: Sequence[Any]) -> None:
        """Write the samples, int8 each, into the ring and start the machine; at most ``images_of_a_start``."""
        program, layout = self.program, self._layout
        program.check_serves_every_image()
        if not len(samples):
            raise WrongInputError("no images: give one or more")
        if len(samples) > self.images_of_a_start:
            raise RingFullError(
                f"{len(samples)} images, and the ring has {self.slots} slots for {self.images_of_a_start}: use run(), "
                "which starts the machine as often as it takes, or give the driver more slots"
            )
        packed = [program.pack(sample) for sample in samples]
        address, size, stride = program.input
        runs = -(-len(samples) // program.images)
        self._check_idle()
        for number, data in enumerate(packed):
            run, in_it = divmod(number, program.images)
            at = address + layout.inputs.place(run) + in_it * stride
            self._memory[at : at + size] = data
        for number in range(len(samples), runs * program.images):  # the last run's missing ones
            at = address + layout.inputs.place(runs - 1) + number % program.images * stride
            self._memory[at : at + size] = 0
        for run in range(runs):  # so that nothing of an earlier start passes for a result
            first, end = layout.output_bytes
            at = layout.outputs.place(run)
            self._memory[at + first : at + end] = 0
        self._begin(runs, layout.inputs, layout.outputs)
        self._running = len(samples)

    def start_own(self) -> None:
        """Start the program once, on what its own image has as input."""
        self._check_idle()
        self._memory[: len(self.program.image)] = self.program.image
        self._begin(1, Ring(), Ring())
        self._running = 0

    def _check_idle(self) -> None:
        if self._buffer is None:
            raise DriverError("the driver is closed; make another")
        if self._running is not None:
            raise DriverError("the machine runs; finish() or abort() it first")
        for _ in range(PATIENCE):
            if self._registers["STATUS"] & READY:
                return
            self._machine.idle()
        raise LostError("STATUS does not become ready; is somebody else using the machine? If not, reset it")

    def _begin(self, runs: int, inputs: Ring, outputs: Ring) -> None:
        registers = self._registers
        self._buffer.flush()
        registers["BASE"] = self._base
        registers["CODE_ADDRESS"] = self.program.header["code_address"]
        registers["BOOT_COUNT"] = self.program.header["boot_count"]
        registers["CYCLE_LIMIT"] = self._cycle_limit
        registers["IMAGES"] = runs
        for name, ring in (("INPUT", inputs), ("OUTPUT", outputs)):
            registers[f"{name}_OFFSET"] = ring.offset
            registers[f"{name}_STRIDE"] = ring.stride
            registers[f"{name}_SLOTS"] = ring.slots
        registers["STATUS"] = DONE | ERROR
        registers["INTERRUPT_ENABLE"] = ENABLE if self._by_interrupt else 0
        self._runs, self._outputs = runs, outputs
        registers["CONTROL"] = START

    def finish(self) -> StartResult:
        """Wait for the end of what was started, and read it.

        Raises
        ------
        StoppedError
            The machine stopped with an error.
        TimedOutError, AbortedError
            It was aborted, by the driver or by somebody else.
        LostError
            It does not answer, or did not run all images.
        """
        if self._running is None:
            raise DriverError("nothing was started")
        count = self._running
        try:
            if not self._wait():
                progress = Counters.read(self._registers)
                if not self._abort() & DONE:
                    raise TimedOutError(
                        f"no end within {self._timeout:g} s: {progress.images} of {self._runs} runs, "
                        f"{progress.instructions:,} instructions, {progress.cycles:,} cycles; the machine was aborted. "
                        "Give it more time, or look at the waits of the instructions around that number"
                    )
                self._running = count  # it ended just then
        except BaseException:
            if self._running is not None:  # also where a key was pressed
                self._abort()
            raise
        return self._collect()

    def _wait(self) -> bool:
        """Whether the machine has ended in time."""
        end = float("inf") if self._timeout is None else time.monotonic() + self._timeout
        while True:
            left = end - time.monotonic()
            if self._by_interrupt:
                self._machine.wait(max(0.0, min(left, 1.0)))
            else:
                self._machine.idle()
            if self._registers["STATUS"] & (DONE | ERROR):
                return True
            if left <= 0:
                return False

    def abort(self) -> None:
        """Stop the machine; ``finish`` then raises ``AbortedError``."""
        if self._running is not None:
            self._machine.write(OFFSETS["CONTROL"], ABORT)

    def _abort(self) -> int:
        """Stop the machine and forget what runs; STATUS as it ended."""
        self.abort()
        self._running = None
        for _ in range(PATIENCE):
            status = self._registers["STATUS"]
            if status & (DONE | ERROR):
                if not status & DONE:
                    self._registers["STATUS"] = ERROR
                return status
            self._machine.idle()
        raise LostError("the machine was aborted, and does not stop: a transfer on the bus never ends. Reset it")

    def _collect(self) -> StartResult:
        registers, program = self._registers, self.program
        count, self._running = self._running, None
        status, counters = registers["STATUS"], Counters.read(registers)
        if status & ERROR:
            raise stop_of(registers, program, counters, self._runs)
        registers["STATUS"] = DONE
        if counters.images != self._runs:
            raise LostError(f"the machine ended after {counters.images} of {self._runs} runs; reset it, and run again")
        self._buffer.invalidate()
        results = []
        for number in range(count or program.images):
            run, in_it = divmod(number, program.images)
            values, left = program.values(self._memory[self._outputs.place(run) :])
            results.append(ImageResult(belonging_to(values, in_it, program.images), left))
        return StartResult(results, counters)

    # Whole runs.

    def starts(self, samples: Sequence[Any]) -> Iterator[StartResult]:
        """Any number of samples, in starts of as many as there are slots."""
        for first in range(0, len(samples), self.images_of_a_start):
            self.start(samples[first : first + self.images_of_a_start])
            yield self.finish()

    def run(self, samples: Sequence[Any]) -> RunResult:
        """Any number of samples, int8 each, back to back."""
        begin = time.perf_counter()
        found = list(self.starts(samples))
        seconds = time.perf_counter() - begin
        return RunResult([one for start in found for one in start.images], [s.counters for s in found], seconds)

    def run_own(self) -> RunResult:
        """The program once, on its own image: a program that was compiled for one image, or has no input."""
        begin = time.perf_counter()
        self.start_own()
        found = self.finish()
        return RunResult(found.images, [found.counters], time.perf_counter() - begin)
