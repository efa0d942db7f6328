"""The folder of a board: RTL as an IP, Vivado's scripts, driver, self-test, a network's program, and how to go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, StrictUndefined

from gatewright.boards import Board
from gatewright.bringup.arch_file import arch_toml
from gatewright.bringup.self_test import STEPS, SelfTest, self_test
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program
from gatewright.driver_export import export_driver, export_program
from gatewright.hw.verilog.generate import TOP, generate
from gatewright.vivado.address_map import MACHINE, SEGMENTS
from gatewright.vivado.component import VERILOG
from gatewright.vivado.scripts import vivado_files

SELF_TEST, NETWORK = "self_test", "network"
"""Names of the programs' files."""

SCRIPTS = ("run_self_test.py", "run_images.py")


@dataclass(frozen=True)
class NetworkRun:
    """A network's live program, images for it (int8 [n, height, width, channels]), and what the reference answers."""

    name: str
    program: Program
    inputs: npt.NDArray[np.int8]
    logits: npt.NDArray[np.int32]
    """[n, classes], each image's answer by the integer reference."""
    labels: npt.NDArray[np.int64] | None
    """[n], if they are known."""


def write_board(folder: Path, board: Board, arch: ArchConfig, network: NetworkRun | None) -> list[str]:
    """Write the folder of a board at the clock of ``arch``; returns the files' names, in order.

    A board without a chip gets the machine in Verilator in place of a bitstream: ``overlay/libmachine.so``.
    """
    if network is not None and network.program.arch != arch:
        raise GatewrightError(f"the program is for arch {network.program.arch.name}, the board's is {arch.name}")
    test = self_test(arch)
    texts = _texts(board, arch, test, network)
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        programs = folder / "programs"
        programs.mkdir(exist_ok=True)
        np.savez_compressed(programs / f"{SELF_TEST}_expected.npz", **test.expected)  # type: ignore[arg-type]
        export_program(test.program, programs, SELF_TEST)
        if network is not None:
            export_program(network.program, programs, NETWORK)
            np.save(programs / "inputs.npy", network.inputs)
            np.save(programs / "logits.npy", network.logits)
            if network.labels is not None:
                np.save(programs / "labels.npy", network.labels)
        export_driver(folder / "driver", arch)
        if board.chip is None:
            _write_library(
                folder / "overlay", arch, [test.program] if network is None else [test.program, network.program]
            )
    except OSError as error:
        raise GatewrightError(f"cannot write to {folder}: {error.strerror}") from error
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _texts(board: Board, arch: ArchConfig, test: SelfTest, network: NetworkRun | None) -> dict[str, str]:
    files = resources.files("gatewright.board_export") / "templates"
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    page = environment.from_string((files / "README.md.j2").read_text("utf-8"))
    rtl = generate(arch).files
    generated = {} if board.chip is None else vivado_files(board, arch)
    return {
        **generated,
        **{(f"ip/hdl/{name}" if name.startswith(TOP) else f"ip/{name}"): text for name, text in rtl.items()},
        **{name: (files / f"{name}.j2").read_text("utf-8") for name in SCRIPTS},
        "arch.toml": arch_toml(arch, f"The machine of board {board.name} at {arch.clock_mhz} MHz."),
        "address_map.json": json.dumps([{**vars(segment)} for segment in SEGMENTS], indent=1) + "\n",
        "README.md": page.render(
            board=board,
            arch=arch,
            machine=MACHINE,
            test=test,
            steps=list(STEPS),
            network=network,
            verilog=f"ip/{VERILOG}",
            segments=SEGMENTS,
        ),
    }


def _write_library(folder: Path, arch: ArchConfig, programs: Sequence[Program]) -> None:
    from gatewright.machines.rtl import build_library

    folder.mkdir(exist_ok=True)
    library = build_library(arch, 4 * max(len(program.image) for program in programs))
    (folder / library.name).write_bytes(library.read_bytes())
