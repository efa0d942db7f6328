"""One program file on several machines: the simulator, the Verilated RTL, that through pynq's classes, and HLS C++."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program as CompiledProgram
from gatewright.driver.counters import Counters, write_counters
from gatewright.driver.driver import Driver, slots_of
from gatewright.driver.errors import DriverError, StoppedError
from gatewright.driver.layout import Layout
from gatewright.driver.machine import Machine
from gatewright.driver.program import Program, load_program
from gatewright.driver.registers import ALIGNMENT
from gatewright.driver.results import ImageResult
from gatewright.driver.verilated import VerilatedMachine
from gatewright.driver_export import NAME, export_driver
from gatewright.hw.hls import csim
from gatewright.machines.rtl import build_library
from gatewright.machines.simulator import SimulatedMachine

PYNQ_PYTHON = Path("build") / "pynq-env" / "bin" / "python"
PYNQ_VARIABLE = "GATEWRIGHT_PYNQ_PYTHON"
"""Environment variable that names another Python with pynq."""


@dataclass(frozen=True)
class Job:
    """A program's file, its machine, and samples int8 [n, ...]; None: once, on the program's own image.

    ``counters``: a file to write them to.
    """

    path: Path
    arch: ArchConfig
    samples: npt.NDArray[np.int8] | None
    slots: int | None = None
    wait: str = "interrupt"
    counters: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What a machine made of a job. ``starts`` is empty where nothing was counted."""

    images: list[ImageResult]
    starts: list[Counters]
    seconds: float


def run_on(backend: str, job: Job) -> Answer:
    """Run a job on the backend of that name; what the driver finds wrong is a ``GatewrightError``."""
    try:
        return BACKENDS[backend](job)
    except DriverError as error:
        raise GatewrightError(f"{backend}: {error}") from error


def _drive(machine: Machine, program: Program, job: Job) -> Answer:
    with Driver(machine, program, slots=job.slots, wait=job.wait, timeout=None) as driver:
        result = driver.run_own() if job.samples is None else driver.run(list(job.samples))
        if job.counters is not None:
            about = {"file": program.path.name, "checksum": program.checksum}
            clock = float(job.arch.clock_mhz)
            write_counters(job.counters, result.starts, driver.machine, about, clock, result.seconds)
    return Answer(result.images, result.starts, result.seconds)


def _simulator(job: Job) -> Answer:
    machine = SimulatedMachine(job.arch)
    try:
        return _drive(machine, load_program(job.path), job)
    except StoppedError as error:
        raise GatewrightError(f"simulator: {error}\n  The simulator says: {machine.note}") from error


def _library(program: Program, job: Job) -> Path:
    """With memory for the program and its rings."""
    layout = Layout.of(program, slots_of(program, job.slots), rings=not program.why_no_rings())
    return build_library(job.arch, layout.size + ALIGNMENT)


def _rtl(job: Job) -> Answer:
    program = load_program(job.path)
    machine = VerilatedMachine(_library(program, job))
    try:
        return _drive(machine, program, job)
    finally:
        machine.close()


def pynq_python() -> Path:
    """The Python of the environment in which pynq is."""
    python = Path(os.environ.get(PYNQ_VARIABLE) or PYNQ_PYTHON).absolute()
    if not python.is_file():
        raise GatewrightError(
            f"there is no {python}: pynq needs an environment of its own, which `make pynq-env` makes; or set "
            f"{PYNQ_VARIABLE} to a Python that has pynq. On a board, run the driver there: docs/driver.md"
        )
    return python


def _pynq(job: Job) -> Answer:
    """The driver's own command line, in the environment in which pynq is, on the Verilated RTL."""
    python = pynq_python()
    program = load_program(job.path)
    library = _library(program, job)
    with tempfile.TemporaryDirectory(prefix="gatewright-") as name:
        folder = Path(name)
        export_driver(folder)
        outputs, counters = folder / "outputs.npz", job.counters or folder / "counters.json"
        words = [str(python), "-m", NAME, str(job.path.absolute()), "--verilated", str(library), "--through-pynq"]
        words += [
            "--wait",
            job.wait,
            "--timeout",
            "0",
            "--outputs",
            str(outputs),
            "--counters",
            str(counters.absolute()),
        ]
        words += [] if job.slots is None else ["--slots", str(job.slots)]
        if job.samples is not None:
            np.save(folder / "inputs.npy", job.samples)
            words += ["--inputs", str(folder / "inputs.npy")]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        begin = time.perf_counter()
        done = subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GatewrightError(f"pynq: {done.stderr.strip()[-4000:]}")
        seconds = time.perf_counter() - begin
        with np.load(outputs) as arrays:
            images = _images(dict(arrays))
        starts = [Counters(**one) for one in json.loads(counters.read_text())["starts"]]
    return Answer(images, starts, seconds)


def _images(arrays: dict[str, Any]) -> list[ImageResult]:
    """What the driver's command line has written of each image."""
    found: list[dict[str, Any]] = [{} for _ in arrays["left"]]
    for name, values in arrays.items():
        number, _, output = name.partition("/")
        if output:
            found[int(number)][output] = values
    return [ImageResult(outputs, int(left)) for outputs, left in zip(found, arrays["left"], strict=True)]


def _hls(job: Job) -> Answer:
    """The C simulation, by files and without the driver: it has no registers, and no cycles of its own."""
    known = load_program(job.path)
    most = known.images * slots_of(known, job.slots)
    samples = [] if job.samples is None else list(job.samples)
    if samples:
        known.check_serves_every_image()
    program, binary = CompiledProgram.load(job.path), csim.build(job.arch)
    runs = [csim.run_csim(binary, program, samples[at : at + most]) for at in range(0, max(1, len(samples)), most)]
    exits = [one.output for one in program.exits]
    images = []
    for values in (values for run in runs for values in run.values):
        last = list(values)[-1]
        images.append(ImageResult(dict(values), exits.index(last) if last in exits else len(exits)))
    return Answer(images, [], sum(run.left.seconds for run in runs))


BACKENDS: dict[str, Callable[[Job], Answer]] = {"simulator": _simulator, "rtl": _rtl, "pynq": _pynq, "hls": _hls}
"""By the name that ``gatewright run --backend`` takes."""
