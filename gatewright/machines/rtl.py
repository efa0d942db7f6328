"""The RTL, Verilated, as a library that the driver loads: registers by AXI-Lite, memory by AXI, the interrupt.

A build is kept under a hash of what goes into it, as those of ``verify.runner`` are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from gatewright.contract.arch import BEAT_BYTES, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.verify import runner, tools
from gatewright.verify.design import machine_verilog
from gatewright.verify.ports import FILE as PORTS
from gatewright.verify.ports import ports_text

BENCH = "driver_bench"
LIBRARY = "libmachine.so"
SOURCES = ("axi_rules.sv", "dram_model.sv", f"{BENCH}.sv")
HOST = f"{BENCH}.cpp"
LEAST_BYTES = 1 << 24
"""Memory of a build, unless a program needs more: a power of two, so that most programs share a build."""


def build_library(arch: ArchConfig, memory_bytes: int = 0) -> Path:
    """The library of a machine with so many bytes of memory or more; made only if it is not there yet."""
    size = max(LEAST_BYTES, 1 << max(0, memory_bytes - 1).bit_length())
    parameters = runner.dram_parameters(arch, size // BEAT_BYTES)
    texts = [machine_verilog(arch), ports_text(), *((runner.SOURCES / name).read_text() for name in (*SOURCES, HOST))]
    choices = (sorted(parameters.items()), runner.ARGUMENTS, tools.optimising(), tools.version("verilator"))
    key = hashlib.sha256(repr((texts, choices)).encode()).hexdigest()[:16]
    folder = tools.builds_folder() / f"library-{key}"
    with tools.locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            (partial / "gatewright.v").write_text(texts[0])
            (partial / PORTS).write_text(texts[1])
            _verilate(partial, parameters)
            partial.rename(folder)  # the folder is there whole or not at all
    return folder / LIBRARY


def _verilate(folder: Path, parameters: dict[str, int]) -> None:
    (folder / "memory.vlt").write_text('`verilator_config\npublic_flat_rw -module "dram_model" -var "memory"\n')
    place, log = folder / "sim", folder / "build.log"
    verilate = ["verilator", "--top-module", BENCH, "-o", LIBRARY, "-Mdir", str(place), f"-I{folder}"]
    verilate += [*runner.ARGUMENTS, "-CFLAGS", "-fPIC", "-LDFLAGS", "-shared"]
    verilate += [f"-G{name}={value}" for name, value in parameters.items()]
    verilate += [str(folder / "memory.vlt"), str(folder / "gatewright.v")]
    verilate += [str(runner.SOURCES / name) for name in (*SOURCES, HOST)]
    make = ["make", "-j", str(os.cpu_count() or 1), "-C", str(place), "-f", f"{runner.PREFIX}.mk"]
    try:
        with tools.environment(tools.tool_environment()), log.open("w") as output:
            for command in (verilate, [*make, *tools.optimising()]):
                subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=True)
        shutil.move(place / LIBRARY, folder / LIBRARY)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GatewrightError(f"Verilator cannot build the design ({error}):\n{tools.tail(log)}") from error
    shutil.rmtree(place)  # objects, of no more use
