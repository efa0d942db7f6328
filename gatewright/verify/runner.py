"""Verilog into a simulator, once, and jobs through it.

A build is kept under a hash of everything that goes into it: the Verilog, the bench's sources, the parameters, the
arguments and the tools' versions. Processes that want the same build wait for one of them to make it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.timing import STORE_BUS_START
from gatewright.verify.ports import FILE as PORTS
from gatewright.verify.ports import PORT_LISTS, ports_text
from gatewright.verify.tools import (
    MAKE_ARGUMENTS,
    builds_folder,
    environment,
    locked,
    optimising,
    quick,
    tail,
    tool_environment,
    version,
)

_log = logging.getLogger(__name__)
SOURCES = Path(__file__).parent / "sv"
MAIN = "main.cpp"
OBSERVERS = ("axi_rules.sv", "monitor.sv", "machine.sv")
BENCHES = {"bench": ("dram_model.sv", "bench.sv"), "protocol_bench": ("protocol_bench.sv",)}
BENCH_MODULES = {"bench": "gatewright.verify.bench", "protocol_bench": "gatewright.verify.bench_protocol"}

CLOCK_STEPS = 2
"""Simulator time steps of a clock cycle: cocotb's clock in ``host.py``, and the one of ``main.cpp``."""

PREFIX = "Vtop"
ARGUMENTS = (
    "--cc",
    "--exe",
    "-O3",
    "--prefix",
    PREFIX,
    "--output-split",
    "0",  # all in one compilation: split designs need a precompiled header, which takes longer
    "--output-split-cfuncs",
    "1000",  # a netlist's logic in one C++ function takes the compiler many times as long
    "-Wno-fatal",
    "-Wno-WIDTHEXPAND",  # Amaranth's Verilog leaves widths to the language's rules, which are those it counts on
    "-Wno-WIDTHTRUNC",
    "-Wno-BLKSEQ",  # the memory and the monitor are programs with variables; what leaves them is a register
    "-Wno-DECLFILENAME",
)


@dataclass(frozen=True)
class Capacity:
    """Sizes of the bench's memories, powers of two: instructions, writes of a unit, DRAM beats."""

    instructions: int = 1 << 15
    writes: int = 1 << 17
    beats: int = 1 << 16

    @staticmethod
    def of(instructions: int, writes: int, dram_bytes: int) -> Capacity:
        """The default, or as much more as is needed."""
        least = Capacity()
        return Capacity(
            max(least.instructions, _power(instructions)),
            max(least.writes, _power(writes)),
            max(least.beats, _power(-(-dram_bytes // BEAT_BYTES))),
        )


def _power(value: int) -> int:
    return 1 << max(0, value - 1).bit_length()


@dataclass(frozen=True)
class Build:
    """A simulator in ``folder``; ``seconds`` is the time it took to make, 0 if it was there."""

    folder: Path
    bench: str
    seconds: float


def _parameters(bench: str, arch: ArchConfig, capacity: Capacity) -> dict[str, int]:
    parameters = {
        "INSTRUCTIONS": capacity.instructions,
        "WRITES": capacity.writes,
        "SCRATCHPAD_BYTES": arch.scratchpad_bytes,
    }
    return parameters | dram_parameters(arch, capacity.beats) if bench == "bench" else parameters


def dram_parameters(arch: ArchConfig, beats: int) -> dict[str, int]:
    """Of ``dram_model.sv`` with so many beats, by name."""
    return {
        "BEATS": beats,
        "LATENCY": arch.dram.latency,
        "RATE_BEATS": arch.dram.beats,
        "RATE_CYCLES": arch.dram.per_cycles,
        "BURST_GAP": arch.dram.burst_gap,
        "OUTSTANDING": arch.dram.outstanding,
        "WRITE_START": STORE_BUS_START,
        "SHARED": int(arch.dram.shared),
    }


def build(
    verilog: str,
    arch: ArchConfig,
    capacity: Capacity,
    *,
    bench: str = "bench",
    waves: bool = False,
    tuned: bool = True,
) -> Build:
    """A simulator of ``verilog`` (module ``gatewright``) in a bench; made only if it is not there yet.

    ``waves``: with waveforms, several times slower. Without ``tuned``: as Verilator's makefile compiles it, and with
    cocotb at each clock edge, which is what benchmarks/rtl_speed.py compares with.
    """
    names = (*OBSERVERS, *BENCHES[bench])
    parameters = _parameters(bench, arch, capacity)
    versions = {package: version(package) for package in ("verilator", "cocotb")}
    hashed = hashlib.sha256()
    for part in (verilog, ports_text(), *((SOURCES / name).read_text() for name in (*names, MAIN))):
        hashed.update(f"{len(part)}\n{part}".encode())
    hashed.update(
        repr(
            (
                sorted(parameters.items()),
                ARGUMENTS,
                optimising(),
                CLOCK_STEPS,
                versions,
                sys.version,
                bench,
                waves,
                tuned,
            )
        ).encode()
    )
    key = hashed.hexdigest()[:16]
    folder = builds_folder() / key
    with locked(folder.with_suffix(".lock")):
        if folder.is_dir():
            return Build(folder, bench, 0.0)
        _log.info("build the RTL of %s in Verilator: once, and kept for the next runs; this takes minutes", arch.name)
        begin = time.perf_counter()
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "gatewright.v").write_text(verilog)
        (partial / PORTS).write_text(ports_text())
        sources = [partial / "gatewright.v", *(SOURCES / name for name in names)]
        _verilate(partial, bench, sources, parameters, waves, tuned)
        partial.rename(folder)  # the folder is there whole or not at all
        return Build(folder, bench, time.perf_counter() - begin)


def _verilate(
    folder: Path, bench: str, sources: list[Path], parameters: dict[str, int], waves: bool, tuned: bool
) -> None:
    text = (SOURCES / f"{bench}.sv").read_text()
    header = text[text.index(") (") : text.index(");")]
    lines = [line.split("//")[0].strip().rstrip(",") for line in header.splitlines()[1:]]
    ports = [port for line in lines for port in PORT_LISTS.get(line.removeprefix("`"), (line.split()[-1],))]
    public = [f'public_flat_rw -module "{bench}" -var "{port}"' for port in ports]
    (folder / "ports.vlt").write_text("`verilator_config\n" + "\n".join(public) + "\n")
    log = folder / "build.log"
    try:
        with environment(tool_environment()), log.open("w") as output:
            for command in _commands(folder, bench, sources, parameters, waves, tuned):
                subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GatewrightError(f"Verilator cannot build the design ({error}):\n{tail(log)}") from error


def _commands(
    folder: Path, bench: str, sources: list[Path], parameters: dict[str, int], waves: bool, tuned: bool
) -> tuple[list[str], list[str]]:
    """Verilog to C++ in ``folder``/sim, and C++ to the program ``bench`` there, where cocotb looks for it."""
    import cocotb_tools.config

    place, libraries = folder / "sim", cocotb_tools.config.libs_dir
    arguments = ["--vpi", "--top-module", bench, "-o", bench, "-Mdir", str(place), f"-I{folder}", *ARGUMENTS]
    arguments += ["-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"]
    arguments += [f"-G{name}={value}" for name, value in parameters.items()]
    if waves:
        arguments += ["--trace", "-DWAVES"]  # written through the model's time, so the clock is never alone
    elif bench == "bench" and tuned:
        arguments += ["-CFLAGS", f"-DGATEWRIGHT_ALONE={CLOCK_STEPS}"]
    files = [str(path) for path in (folder / "ports.vlt", *sources, SOURCES / MAIN)]
    jobs = str(os.cpu_count() or 1)
    make = ["make", "-j", jobs, "-C", str(place), "-f", f"{PREFIX}.mk", f"VM_TRACE={int(waves)}"]
    make += MAKE_ARGUMENTS if tuned and not quick() else ()
    return ["verilator", *arguments, *files], make


def run(made: Build, job: Path, plusargs: tuple[str, ...] = ()) -> None:
    """Run the jobs of the folder ``job`` in one simulator process; the results lie in its folders ``image_<n>``."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    log = job / "run.log"
    try:
        with environment({"GATEWRIGHT_JOB": str(job.absolute())}):
            results = get_runner("verilator").test(
                test_module=BENCH_MODULES[made.bench],
                hdl_toplevel=made.bench,
                hdl_toplevel_lang="verilog",
                build_dir=made.folder / "sim",
                test_dir=job,
                results_xml=str(job.absolute() / "results.xml"),
                plusargs=[f"+job={job.absolute()}", *plusargs],
                log_file=log,
            )
        tests, failures = get_results(results)
    except (SystemExit, RuntimeError, subprocess.CalledProcessError) as error:
        raise GatewrightError(f"the simulation did not finish ({error}):\n{tail(log)}") from error
    if tests != 1 or failures:
        raise GatewrightError(f"the simulation failed in its bench:\n{tail(log)}")
