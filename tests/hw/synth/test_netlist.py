"""Mapped netlists against their designs' twins, and the cells' models against other descriptions of the cells.

The whole machine's netlist takes minutes: ``gatewright synth --arch 4x4 -o build/synth --check``.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.boards import load_board
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Unit
from gatewright.hw.array.grid import Grid, packed_pairs
from gatewright.hw.control.queue import InstructionQueue
from gatewright.hw.memories.masks import Masks
from gatewright.hw.memories.scratchpad import Scratchpad
from gatewright.hw.memories.tables import Tables
from gatewright.hw.synth import synthesise
from gatewright.hw.synth.netlist_text import netlist_text
from gatewright.hw.synth.yosys import run_yosys
from gatewright.verify.tools import tool_environment
from tests.hw.epilogue.test_requantise import RequantiseLane
from tests.hw.instructions import ARCH
from tests.hw.memories.scratchpad_users import asked, bench_environment
from tests.hw.synth.bench_mean import MEAN_BITS
from tests.support.rtl import TOP, run_bench


class Mean(wiring.Component):
    """A sum in a register that is added to and multiplied."""

    def __init__(self) -> None:
        ports = {"value": In(signed(8)), "first": In(1), "enable": In(1), "factor": In(16)}
        super().__init__({**ports, "mean": Out(signed(MEAN_BITS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total, factor = Signal(signed(18), reset_less=True), Signal(16, reset_less=True)
        product = Signal(signed(MEAN_BITS), reset_less=True)
        with m.If(self.enable):
            m.d.sync += total.eq(Mux(self.first, 0, total) + self.value)
        m.d.sync += [factor.eq(self.factor), product.eq(total * factor), self.mean.eq(product)]
        return m


def netlist(component: Any, folder: Path) -> tuple[str, set[str]]:
    """A component's netlist with models, and the types of its cells."""
    cells = set(synthesise(component, None, TOP, folder, chip=load_board("ultra96").need_chip()).cells)
    return netlist_text(folder, cells), cells


def test_the_whole_grid_with_its_packed_pairs(tmp_path: Path) -> None:
    """16 x 16, four pairs: the sums in every cycle, of random operands and of the ends of their range."""
    assert packed_pairs(16, 16, ArchConfig().array_multipliers) == PACKED
    print("seed 7")
    grid = Grid(16, 16, 4, PACKED)
    text, _ = netlist(grid, tmp_path)
    assert text.count("\n  DSP48E2 #(\n") == 192
    run_bench(grid, "tests.hw.array.bench_grid", env={"MACHINE": "16x16x4", "SEED": "7"}, verilog=text)


PAIRS = 3
PACKED = 4


@dataclass(frozen=True)
class SmallGrid:
    """A grid of 5 x 7 with three packed pairs, and its netlist."""

    component: Grid
    text: str

    def run(self, text: str) -> None:
        """The grid's bench on Verilog in its place."""
        run_bench(self.component, "tests.hw.array.bench_grid", env={"MACHINE": "5x7x2", "SEED": "1"}, verilog=text)


@pytest.fixture(scope="module")
def small_grid(tmp_path_factory: pytest.TempPathFactory) -> SmallGrid:
    grid = Grid(5, 7, 2, PAIRS)
    return SmallGrid(grid, netlist(grid, tmp_path_factory.mktemp("grid"))[0])


def _nth(pattern: str, replacement: str, text: str, number: int) -> str:
    """``text`` with one match of a pattern replaced."""
    matches = list(re.finditer(pattern, text))
    assert 0 <= number < len(matches), (pattern, len(matches))
    start, end = matches[number].span()
    return text[:start] + re.sub(pattern, replacement, matches[number].group()) + text[end:]


FAULTS = {
    "a table": lambda text: _nth(r"\.INIT\(4'h[68]\)", ".INIT(4'h7)", text, 3),
    "a cascade left out": lambda text: _nth(r"\.OPMODE\(9'h015\)", ".OPMODE(9'h005)", text, 9),
    "a product register left out": lambda text: _nth(r"\.MREG\(32'sd1\)", ".MREG(32'sd0)", text, 4),
    "a carry": lambda text: text.replace("S | generated}", "S}"),
}


def test_a_small_grid(small_grid: SmallGrid) -> None:
    small_grid.run(small_grid.text)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_grids_netlist_is_noticed(small_grid: SmallGrid, fault: str) -> None:
    """One cell changed, or a cell's model."""
    bad = FAULTS[fault](small_grid.text)
    assert bad != small_grid.text
    with pytest.raises(AssertionError, match="seed 1, cycle"):
        small_grid.run(bad)


def test_block_memories(tmp_path: Path) -> None:
    """RAMB36E2 of 9 and of 36 bits, two ports, and ports of either width."""
    scratchpad = Scratchpad(replace(ARCH, scratchpad_kib=32), asked())
    text, cells = netlist(scratchpad, tmp_path / "scratchpad")
    assert cells & {"RAMB36E2", "RAMB18E2"}
    env = bench_environment(KIB=32, SEED=3, CYCLES=1500)
    run_bench(scratchpad, "tests.hw.memories.bench_scratchpad", env=env, verilog=text)

    tables = Tables(replace(ARCH, table_entries=1024))
    text, cells = netlist(tables, tmp_path / "tables")
    assert "RAMB36E2" in cells and ".READ_WIDTH_B(32'd9)" in text and ".WRITE_WIDTH_A(32'd36)" in text
    run_bench(tables, "tests.hw.memories.bench_tables", env={"SEED": "3", "ENTRIES": "1024"}, verilog=text)


def test_wide_multipliers(tmp_path: Path) -> None:
    """Two multipliers as one product: cascades by 17 bits, and adders in front and behind."""
    lane = RequantiseLane()
    text, cells = netlist(lane, tmp_path)
    assert "DSP48E2" in cells and ".OPMODE(9'h055)" in text
    run_bench(lane, "tests.hw.epilogue.bench_requantise", env={"SEED": "5"}, verilog=text)


def test_a_sum_whose_register_is_read_twice_is_kept(tmp_path: Path) -> None:
    """Yosys's packer takes sum and register into the multiplier's block, and leaves nothing for the other reader."""
    mean = Mean()
    text, cells = netlist(mean, tmp_path)
    assert "DSP48E2" in cells
    run_bench(mean, "tests.hw.synth.bench_mean", env={"SEED": "1"}, verilog=text)


def test_memories_of_tables(tmp_path: Path) -> None:
    """Half a block, RAM32M16 and RAM64M8."""
    masks = Masks(replace(ARCH, columns=4))
    text, cells = netlist(masks, tmp_path / "masks")
    assert "RAMB18E2" in cells
    run_bench(masks, "tests.hw.memories.bench_masks", env={"SEED": "1", "COLUMNS": "4"}, verilog=text)
    for depth, cell in ((9, "RAM32M16"), (40, "RAM64M8")):
        queue = InstructionQueue(Unit.GATHER, replace(ARCH, queue_depth=depth))
        text, cells = netlist(queue, tmp_path / f"queue_{depth}")
        assert cell in cells
        env = {"UNIT": "GATHER", "DEPTH": str(depth), "SEED": "3"}
        run_bench(queue, "tests.hw.control.bench_queue", env=env, verilog=text)


def _elaborated(text: str, folder: Path) -> str:
    """What Verilator says against the Verilog; nothing if it takes it, warnings aside."""
    (folder / "block.v").write_text(text)
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wno-fatal", "--top-module", TOP, "block.v"],
        cwd=folder,
        env=tool_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (r"\.USE_SIMD\(\"ONE48\"\)", '.USE_SIMD("TWO24")', "NOT_MODELLED"),
        (r"\.A_INPUT\(\"DIRECT\"\)", '.A_INPUT("CASCADE")', "NOT_MODELLED"),
        (r"\.MREG\(32'sd1\)", ".RND(48'd1)", "RND"),
    ],
)
def test_a_parameter_without_a_model_is_an_error(
    small_grid: SmallGrid, before: str, after: str, words: str, tmp_path: Path
) -> None:
    """As the netlist is elaborated: none gets a meaning that is not its own."""
    assert _elaborated(small_grid.text, tmp_path) == ""
    assert words in _elaborated(_nth(before, after, small_grid.text, 0), tmp_path)


def test_an_operation_without_a_model_ends_the_simulation(small_grid: SmallGrid) -> None:
    with pytest.raises(AssertionError, match="Command failed with return code"):
        small_grid.run(_nth(r"\.ALUMODE\(4'h0\)", ".ALUMODE(4'h3)", small_grid.text, 0))


def test_an_output_without_a_model_is_refused(tmp_path: Path) -> None:
    netlist_of = """module block(a, y);
  wire _1_;
  wire _2_;
  DSP48E2 #(
  ) _3_ (
    .OVERFLOW(_1_),
    .UNDERFLOW(_2_)
  );
  assign y = _1_;
endmodule
"""
    (tmp_path / "netlist.v").write_text(netlist_of)
    with pytest.raises(GatewrightError, match="uses _1_ from OVERFLOW of a DSP48E2"):
        netlist_text(tmp_path, {"DSP48E2"})
    (tmp_path / "netlist.v").write_text(netlist_of.replace("  assign y = _1_;\n", ""))
    assert "module DSP48E2" in netlist_text(tmp_path, {"DSP48E2"})


CARRY_PROOF = """
read_verilog cells.v
rename CARRY8 gold
read_verilog carry8_model.v
rename CARRY8 gate
proc
opt_clean
miter -equiv -make_assert -flatten gold gate both
sat -verify -prove-asserts -show-inputs both
"""


def test_the_fast_carry_is_the_mapped_one(tmp_path: Path) -> None:
    """Yosys proves it: the model against the cell that maps adders, which is proved against their source."""
    for name in ("cells.v", "carry8_model.v"):
        (tmp_path / name).write_text((files("gatewright.hw.synth") / name).read_text())
    (tmp_path / "proof.ys").write_text(CARRY_PROOF)
    run_yosys(tmp_path, "proof.ys")
