"""The C simulation of the HLS C++: builds it, hands it programs, reads what they leave.

The simulation is a process that takes any number of *jobs*, folders whose files ``cpp/csim.cpp`` describes.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import MASK_BITS, MASKS, ArchConfig
from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.images import ONE_IMAGE, Images, lay_out, values_of
from gatewright.contract.instruction_limit import instruction_limit
from gatewright.contract.program import Program
from gatewright.contract.registers import ErrorCode
from gatewright.hw.hls.generate import files, write

BUILDS = Path("build") / "hls"
"""A build is kept under a hash of all that goes into it."""

Values = dict[str, npt.NDArray[np.int8] | npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Job:
    """A start of the machine: a program on a DRAM, for as many images as ``images`` says."""

    program: Program
    dram: npt.NDArray[np.uint8]
    images: Images = ONE_IMAGE


@dataclass(frozen=True)
class Left:
    """What a start has left. After an error, what was there when the machine stopped."""

    code: ErrorCode
    instruction: int
    """The one that stopped the machine: its number in its image, from 0 on, as the simulator counts; else 0."""
    dispatched: int
    """As register ERROR_INSTRUCTION: those before it in all images, without what SKIPs left out; else 0."""
    entry: int
    image: int
    """Images that ended."""
    instructions: int
    seconds: float
    """Of processor time that the C simulation took, its files left aside."""
    dram: npt.NDArray[np.uint8]
    scratchpad: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    """[MASKS, MASK_BITS]"""
    tables: list[npt.NDArray[np.uint16]]
    """Each table's entries, as many as its count."""


@dataclass(frozen=True)
class CsimRun:
    """A run without an error: every sample's outputs, as ``Program.values``, and what the machine has left."""

    values: list[Values]
    left: Left

    @property
    def logits(self) -> list[npt.NDArray[np.int32]]:
        """Each sample's answer: the last logits that it got to; empty if its outputs are maps."""
        found = [[v.astype(np.int32) for v in one.values() if v.dtype == np.int32] for one in self.values]
        return [logits[-1] if logits else np.zeros(0, np.int32) for logits in found]


def find_ap_types() -> Path:
    """The folder of the open headers of ap_int: variable AP_TYPES, or what the wheel of hls4ml bundles."""
    named = os.environ.get("AP_TYPES")
    spec = importlib.util.find_spec("hls4ml")
    places = [Path(named).resolve()] if named else []
    if not named and spec is not None:
        places = [Path(place) / "templates" / "vivado" / "ap_types" for place in spec.submodule_search_locations or []]
    for place in places:
        if (place / "ap_int.h").is_file():
            return place
    raise GatewrightError(
        f"there is no ap_int.h in {places[0] if places else 'the environment'}: install the open headers with "
        "`pip install --no-deps hls4ml==1.3.0`, or name their folder in the variable AP_TYPES"
    )


def build(arch: ArchConfig, *, sanitize: bool = False, flags: str = "-O3") -> Path:
    """The C simulation of a machine, built with g++ unless it is there. ``sanitize``: of addresses and undefined
    behaviour."""
    texts, ap_types = files(arch), find_ap_types()
    key = "\n".join((str(ap_types), flags, str(sanitize), *(part for pair in texts.items() for part in pair)))
    folder = BUILDS / hashlib.sha256(key.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes that want the same build wait for one of them to make it
        write(arch, folder)
        return make(folder, ap_types, sanitize=sanitize, flags=flags)


def make(folder: Path, ap_types: Path, *, sanitize: bool = False, flags: str = "-O3") -> Path:
    """Build the sources in a folder; returns the program."""
    for tool in ("make", "g++"):
        if shutil.which(tool) is None:
            raise GatewrightError(f"{tool} is missing; install it (Debian: apt-get install g++ make)")
    command = ["make", "-C", str(folder), "-s", "-j2", "build", f"AP_TYPES={ap_types}", f"CXXFLAGS={flags}"]
    command.append(f"SANITIZE={int(sanitize) or ''}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise GatewrightError(f"the HLS C++ in {folder} cannot be built:\n{tail}")
    return folder / "build" / "csim"


def write_job(job: Job, folder: Path) -> None:
    """The files of a job, as ``csim.cpp`` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    program, images = job.program, job.images
    start = {"code_address": program.code_address, "boot_count": program.boot_count, "images": images.count}
    for name, ring in (("input", images.inputs), ("output", images.outputs)):
        start |= {f"{name}_offset": ring.offset, f"{name}_stride": ring.stride, f"{name}_slots": ring.slots}
    start["instruction_limit"] = instruction_limit(len(program.code))
    lines = [f"{name} {value}" for name, value in start.items()]
    for output in program.outputs:
        if output.kind == "logits":
            lines.append(f"logits {output.name} {output.region.address} {output.region.size // LOGIT_BYTES}")
    (folder / "start").write_text("\n".join(lines) + "\n")
    job.dram.tofile(folder / "dram")


def run_jobs(binary: Path, jobs: Sequence[Job]) -> list[Left]:
    """Run jobs one after the other in one process; none sees anything of those before it."""
    with tempfile.TemporaryDirectory(prefix="gatewright-hls-") as root:
        folders = [Path(root) / str(number) for number in range(len(jobs))]
        for job, folder in zip(jobs, folders, strict=True):
            write_job(job, folder)
        done = subprocess.run(
            [str(binary.resolve()), "--quiet", "-"],
            input="".join(f"{folder}\n" for folder in folders),
            capture_output=True,
            text=True,
        )
        if done.returncode not in (0, 1) or not (folders[-1] / "result").is_file():
            raise GatewrightError(f"{binary} failed (exit code {done.returncode}):\n{done.stderr[-4000:]}")
        return [_read(job, folder) for job, folder in zip(jobs, folders, strict=True)]


def run_csim(binary: Path, program: Program, samples: Sequence[npt.NDArray[np.int8]]) -> CsimRun:
    """Run a program on samples, in one start if there are several; without any, once on its own image.

    An error of the machine is a ``GatewrightError`` with its code and its instruction.
    """
    count = len(samples) or program.images
    if not samples or count == program.images == 1:
        job = Job(program, program.with_sample(samples[0] if samples else None))
    else:
        job = Job(program, *lay_out(program, samples))
    left = run_jobs(binary, [job])[0]
    if left.code != ErrorCode.NONE:
        raise GatewrightError(
            f"image {left.image}: instruction {left.instruction} (entry {left.entry}) stopped the HLS machine with "
            f"{left.code.name}; `gatewright simulate` says what is wrong with it"
        )
    return CsimRun([values_of(program, left.dram, job.images, number) for number in range(count)], left)


def _read(job: Job, folder: Path) -> Left:
    result = {
        name: int(value) for name, value in (line.split() for line in (folder / "result").read_text().splitlines())
    }
    arch = job.program.arch
    rows = np.fromfile(folder / "tables.out", "<u2").reshape(arch.tables, 1 + arch.table_entries)
    return Left(
        code=ErrorCode(result["error_code"]),
        instruction=result["error_turn"],
        dispatched=result["error_instruction"],
        entry=result["error_entry"],
        image=result["image"],
        instructions=result["instructions_run"],
        seconds=result["microseconds"] / 1e6,
        dram=np.fromfile(folder / "dram.out", np.uint8)[: len(job.dram)],
        scratchpad=np.fromfile(folder / "scratchpad.out", np.uint8),
        masks=np.fromfile(folder / "masks.out", np.uint8).reshape(MASKS, MASK_BITS).astype(np.bool_),
        tables=[row[1 : 1 + int(row[0])].copy() for row in rows],
    )
