"""How a small file of each kind is made, and what reading one gives.

``MAKERS`` write today's version. ``READERS`` say what a file holds, as JSON: what they said when the file was made is
kept beside it, and must be in what they say ever after. More may be there: a machine gets new parameters.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gatewright.boards import load_board
from gatewright.bringup.arch_file import arch_toml
from gatewright.bringup.counters import read_counters
from gatewright.compiler.compile import Compiler
from gatewright.compiler.quantise.ranges import read_ranges, save_ranges
from gatewright.contract.arch import PRESETS, load_arch
from gatewright.contract.formats import (
    ARCH,
    BOARD,
    CALIBRATION,
    CARD,
    CHECKPOINT,
    COUNTERS,
    COVERAGE,
    CYCLES,
    ENERGY,
    PROGRAM,
    RANGES,
    REPORT,
    SPACE,
)
from gatewright.contract.isa import VERSION, Opcode
from gatewright.contract.program import Program
from gatewright.driver.counters import Counters, write_counters
from gatewright.driver.registers import UNITS
from gatewright.explore.space import load_space
from gatewright.measure.accesses import read_energy_table
from gatewright.measure.comparison import compare_reports
from gatewright.measure.comparison import read_report as read_report_file
from gatewright.measure.summary import build_report
from gatewright.models.checkpoints.checkpoint import load_checkpoint
from gatewright.models.training.cycle_model import BlockCycles, CycleFit, FitError, load_fit
from gatewright.models.zoo.catalogue import FOLDER as ZOO
from gatewright.models.zoo.catalogue import Card
from gatewright.own_network import calibrate_own, load_own
from gatewright.sim.fast.machine import simulate
from gatewright.verify.kit.cases import case
from gatewright.verify.kit.coverage.coverage import Coverage
from gatewright.verify.kit.coverage.held import Held
from gatewright.verify.kit.generate.random_corners import random_corners
from tests.end_to_end.networks import captured
from tests.measure import synthetic
from tests.support.exported import export, gated, write_arrays

SMALL = PRESETS["4x4"]


def make_program(folder: Path) -> list[str]:
    """A program of every kind of instruction, and one of a network with gates."""
    _, corners = random_corners(7, SMALL)
    corners.save(folder / "corners.safetensors")
    case = captured("dual", 8)
    decisions = {name: decided[0] for name, decided in case.reference.decisions.items()}
    Compiler(case.graph, SMALL).compile(decisions, case.inputs[0]).save(folder / "network.safetensors")
    return ["corners.safetensors", "network.safetensors"]


def read_program(path: Path) -> dict[str, Any]:
    """What it does on the machine."""
    program = Program.load(path)
    result = simulate(program)
    return {
        "instruction set": VERSION,
        "instructions": len(program.code),
        "gates": [gate.name for gate in program.gates],
        "cycles": result.cycles,
        "dram": zlib.crc32(result.dram.tobytes()),
    }


def make_checkpoint(folder: Path) -> list[str]:
    """None is small: those of the zoo stand for them (``in_the_zoo.txt`` names one)."""
    (folder / "in_the_zoo.txt").write_text("exits-resnet20\n")
    return ["in_the_zoo.txt"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The network's spec and its tensors. A ``.txt`` names a network of the zoo."""
    if path.suffix == ".txt":
        path = ZOO / f"{path.read_text().strip()}.safetensors"
    network, spec = load_checkpoint(path)
    state = network.state_dict()
    tensors = b"".join(state[name].numpy().tobytes() for name in sorted(state))
    return {"spec": asdict(spec), "tensors": len(state), "bytes": zlib.crc32(tensors)}


def make_ranges(folder: Path) -> list[str]:
    """Three tensors."""
    save_ranges(folder / "net.ranges.json", {"input": 2.75373, "conv1": 6.06432, "fc": 1e-6})
    return ["net.ranges.json"]


def make_calibration(folder: Path) -> list[str]:
    """A gated network that was exported, and its calibration."""
    path = export(gated(), folder / "net.pt2")
    calibrate_own(path, write_arrays(folder / "images", 16), 16, (0.49, 0.48, 0.45), (0.25,))
    shutil.rmtree(folder / "images")
    return ["net.pt2.ranges.json"]


def read_calibration(path: Path) -> dict[str, Any]:
    """The network as it is quantised: the program lies beside the calibration."""
    spec, floating, quantised = load_own(path.with_name(path.name.removesuffix(".ranges.json")))
    return {"name": spec.name, "classes": spec.classes, "layers": len(floating.layers), "scales": quantised.scales}


def make_arch(folder: Path) -> list[str]:
    """As ``gatewright board`` writes it, and as people do."""
    (folder / "written.toml").write_text(arch_toml(SMALL, "A machine of 4 x 4."))
    shutil.copy(Path(__file__).parents[2] / "examples" / "small_board.toml", folder / "by_hand.toml")
    return ["by_hand.toml", "written.toml"]


def make_board(folder: Path) -> list[str]:
    """One of the package, without the line that says the format."""
    text = (Path(__file__).parents[2] / "gatewright" / "boards" / "ultra96.toml").read_text()
    (folder / "own.toml").write_text(text.replace(f'format = "{BOARD.name}"\n', ""))
    return ["own.toml"]


def read_board(path: Path) -> dict[str, Any]:
    """Its chip, and its machine at each clock."""
    board = load_board(str(path))
    chip = None if board.chip is None else asdict(board.chip)
    return {"chip": chip, "machines": [board.arch(clock).to_dict() for clock in board.clocks_mhz]}


def make_card(folder: Path) -> list[str]:
    """That of a network of the zoo, with the line that ``publish`` writes today."""
    card = json.loads((ZOO / "bas-resnet20.json").read_text())
    (folder / "card.json").write_text(json.dumps({"format": CARD.name, **card}, indent=1) + "\n")
    return ["card.json"]


def make_counters(folder: Path) -> list[str]:
    """Two starts."""
    numbers = iter(range(100, 200))
    starts = [
        Counters(8, 1000 + index, 50, {u: next(numbers) for u in UNITS}, {u: next(numbers) for u in UNITS})
        for index in range(2)
    ]
    program = {"file": "live.safetensors", "checksum": "1"}
    write_counters(folder / "counters.json", starts, {"ROWS": 4, "COLUMNS": 4}, program, 150.0, 0.25)
    return ["counters.json"]


def make_report(folder: Path) -> list[str]:
    """Of runs that nobody made: the figures are not the point."""
    (folder / "report.json").write_text(json.dumps(_report(), indent=1) + "\n")
    return ["report.json"]


def read_report(path: Path) -> dict[str, Any]:
    """``compare`` takes it; and what others may count on are its keys, which today's report still has."""
    report = read_report_file(path)
    compare_reports(report, report, ("one", "other"))
    return {"keys": _keys(_report())}


def _report() -> dict[str, Any]:
    runs = synthetic.dense_run(), synthetic.image_records(2)
    return build_report(PRESETS["ultra96"], synthetic.NETWORK, *runs, synthetic.flip_rates())


def _keys(value: object) -> dict[str, Any]:
    """The keys of tables, tables in tables, and the first row of lists."""
    if isinstance(value, list):
        return _keys(value[0]) if value else {}
    return {key: _keys(inside) for key, inside in value.items()} if isinstance(value, dict) else {}


def make_cycles(folder: Path) -> list[str]:
    """Of a network of three blocks, with numbers that nobody fitted."""
    blocks = tuple(BlockCycles(decision=100.5, factor=0.9731, tile=number, pages=0) for number in range(3))
    error = FitError(1, 0.5, 0.25, 1.0)
    fit = CycleFit(CYCLES.name, 8, "dual", SMALL, 0, 8, 1000.0, 50_000.0, blocks, error, error, error)
    fit.save(folder / "cycles.json")
    return ["cycles.json"]


def make_space(folder: Path) -> list[str]:
    """The example, which does not say its format."""
    shutil.copy(Path(__file__).parents[2] / "examples" / "space.toml", folder / "space.toml")
    return ["space.toml"]


def make_energy(folder: Path) -> list[str]:
    """Of two accesses."""
    (folder / "energy.toml").write_text("[pj]\nscratchpad.read = 1.5\nscratchpad.write = 2.0\n")
    return ["energy.toml"]


def make_coverage(folder: Path) -> list[str]:
    """Of programs of two kinds."""
    coverage = Coverage(SMALL)
    for kind in ("layers", "corners"):
        coverage.add(case(kind, 0, SMALL))
        coverage.note(kind, range(1))
    coverage.save(folder / "coverage.json")
    return ["coverage.json"]


def read_coverage(path: Path) -> dict[str, Any]:
    """The programs, and how often each opcode was held by what."""
    coverage = Coverage.load(path)
    counts = {opcode.name: {condition: coverage.count(opcode, condition) for condition in Held} for opcode in Opcode}
    return {"programs": [asdict(one) for one in coverage.programs], "counts": counts}


MAKERS: dict[str, Callable[[Path], list[str]]] = {
    PROGRAM.kind: make_program,
    CHECKPOINT.kind: make_checkpoint,
    RANGES.kind: make_ranges,
    CALIBRATION.kind: make_calibration,
    ARCH.kind: make_arch,
    BOARD.kind: make_board,
    CARD.kind: make_card,
    COUNTERS.kind: make_counters,
    REPORT.kind: make_report,
    CYCLES.kind: make_cycles,
    SPACE.kind: make_space,
    ENERGY.kind: make_energy,
    COVERAGE.kind: make_coverage,
}
"""Each writes files into a folder and returns the names of those that are read."""

READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    PROGRAM.kind: read_program,
    CHECKPOINT.kind: read_checkpoint,
    RANGES.kind: lambda path: dict(read_ranges(path)),
    CALIBRATION.kind: read_calibration,
    ARCH.kind: lambda path: load_arch(str(path)).to_dict(),
    BOARD.kind: read_board,
    CARD.kind: lambda path: asdict(Card.load(path)),
    COUNTERS.kind: lambda path: asdict(read_counters(path)),
    REPORT.kind: read_report,
    CYCLES.kind: lambda path: asdict(load_fit(path)),
    SPACE.kind: lambda path: asdict(load_space(path)),
    COVERAGE.kind: read_coverage,
    ENERGY.kind: lambda path: read_energy_table(path).per_access,
}
"""What a file of the kind holds, for JSON."""
