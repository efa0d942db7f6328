import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatewright.boards import Resources, load_board
from gatewright.contract.errors import GatewrightError
from gatewright.hw.synth import LongestPath, SynthesisReport, synthesise, table
from gatewright.hw.synth.cells import cost
from gatewright.hw.synth.paths import worst_paths
from gatewright.hw.synth.report import module_resources
from gatewright.hw.synth.script import CELLS, TECHMAPS
from gatewright.hw.synth.timing import parse_timing
from gatewright.hw.synth.yosys import run_yosys, step_seconds
from tests.hw.synth import golden_area, placed_paths
from tests.hw.synth.prototype import ROWS, Prototype

CHIP = load_board("ultra96").need_chip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synth")


@pytest.fixture(scope="module")
def report(folder: Path) -> SynthesisReport:
    return synthesise(Prototype(), None, "prototype", folder, chip=CHIP)


def test_memories_and_multipliers_become_blocks(report: SynthesisReport) -> None:
    assert report.modules["prototype.bank"] == Resources(bram36=4)
    assert report.modules["prototype.column"] == Resources(dsp=ROWS, ff=8 * ROWS)


def test_adders_become_carry8_and_small_memories_tables(report: SynthesisReport) -> None:
    total = report.modules["prototype.sum"]
    assert (total.carry8, total.ff, total.lutram) == (3, 60, 16)
    assert total.lut == 20 + total.lutram
    assert report.cells["CARRY8"] == 3
    assert not {"CARRY4", "DSP48E1"} & report.cells.keys()


def test_the_total_is_the_sum(report: SynthesisReport) -> None:
    parts = [resources for name, resources in report.modules.items() if name != "prototype"]
    assert len(parts) == 3
    assert report.total == sum(parts, Resources()) == cost(report.cells)


def test_a_flat_netlist_takes_the_same(report: SynthesisReport, tmp_path: Path) -> None:
    flat = synthesise(Prototype(), None, "prototype", tmp_path, chip=CHIP, depth=0)
    assert flat.total == report.total
    assert list(flat.modules) == ["prototype"]


def test_netlist_is_mapped(report: SynthesisReport, folder: Path) -> None:
    netlist = (folder / "netlist.v").read_text()
    assert netlist.count("DSP48E2 #(") == ROWS
    assert netlist.count("RAMB36E2 #(") == 4
    assert netlist.count(".PCIN(48'h000000000000)") == 2  # the first of each of two cascades of at most 20
    assert netlist.count(".MREG(32'sd1)") == netlist.count(".PREG(32'sd1)") == ROWS


def test_longest_path(report: SynthesisReport) -> None:
    path = report.longest_path
    assert path is not None
    assert path.picoseconds == path.points[-1].arrival_ps
    assert [point.arrival_ps for point in path.points] == sorted(point.arrival_ps for point in path.points)


def test_the_worst_of_all_paths_is_the_longest_path(report: SynthesisReport, folder: Path) -> None:
    """Yosys's own analysis finds the same one; every end has one path, the slowest first."""
    paths = worst_paths((folder / CELLS).read_text(), "prototype")
    assert report.longest_path is not None
    assert paths[0].picoseconds == report.longest_path.picoseconds
    assert [path.picoseconds for path in paths] == sorted((path.picoseconds for path in paths), reverse=True)
    assert len({path.end for path in paths}) == len(paths) > 3


def test_table_shows_modules_goals_and_steps(report: SynthesisReport) -> None:
    text = table(report)
    for name in ("bank", "column", "sum", "share of the chip"):
        assert sum(line.split(" " * 3)[0].strip() == name or line.startswith(name) for line in text.splitlines()) >= 1
    assert text.count(", met") == 3
    assert "not a clock period" in text
    assert list(report.seconds) == [
        "read", "prepare", "multipliers", "memories", "arithmetic", "tables", "timing", "netlist"
    ]  # fmt: skip


def test_a_full_chip_misses_its_goals() -> None:
    full = SynthesisReport("full", CHIP, CHIP.capacity, {"full": CHIP.capacity}, {}, None, {})
    assert [goal.met for goal in full.goals()] == [False, False, False]
    limit = Resources(lut=49_392, bram36=205, dsp=306)
    assert all(goal.met for goal in SynthesisReport("at", CHIP, limit, {"at": limit}, {}, None, {}).goals())
    assert table(full).count("MISSED") == 3


def test_cells_cost() -> None:
    assert cost({"RAMB18E2": 3, "LUT6": 2, "SRL16E": 1, "RAM64M8": 1}) == Resources(lut=11, lutram=9, bram36=1.5)
    with pytest.raises(GatewrightError, match=r"does not have: \$mul, CARRY4"):
        cost({"CARRY4": 1, "$mul": 2, "LUT1": 1})


def test_timing_output() -> None:
    path = parse_timing(
        "Latest arrival time in 'top' is 900:\n"
        "     900 $auto$1 (FDRE.D)\n           \\unit.total [3]\n"
        "     800 $2 (LUT6.I0->O)\n           $3\n     400 $4 (FDRE.C->Q)\n       0   \\clk (<primary input>)\n"
        "\nArrival histogram:\n"
    )
    assert isinstance(path, LongestPath)
    assert path.picoseconds == 900
    assert path.cells() == "FDRE > LUT6 > FDRE"
    assert path.signals == ("unit.total [3]",)
    with pytest.raises(GatewrightError, match="cannot read"):
        parse_timing("something else")


def test_steps_are_timed() -> None:
    log = "[00000.5] gatewright step read\n[00001.0] other\n[00002.25] gatewright step end\n"
    assert step_seconds(log) == {"read": 1.8}


def test_yosys_errors_name_the_log(tmp_path: Path) -> None:
    (tmp_path / "bad.ys").write_text("read_rtlil missing.il\n")
    with pytest.raises(GatewrightError, match=r"missing\.il.*the whole log is .*yosys\.log"):
        run_yosys(tmp_path, "bad.ys")


CARRY_DESIGN = """
module sums (input signed [12:0] a, b, input signed [4:0] c, input [19:0] d, e, output [13:0] plus, minus,
             output [15:0] mixed, output less, output negative);
  assign plus = a + b;
  assign minus = a - b;
  assign mixed = a + c;
  assign less = d < e;
  assign negative = a < b;
endmodule
"""

CARRY_PROOF = """
read_verilog sums.v
prep -top sums
design -save gold
techmap -map +/cmp2lcu.v -map +/cmp2lut.v -D LUT_WIDTH=6
alumacc
{swapped}
techmap -map +/techmap.v -D LUT_SIZE=6 -map carry8.v
select -assert-min 8 t:CARRY8
read_verilog cells.v
hierarchy -top sums
proc
flatten
opt_clean
design -stash gate
design -copy-from gold -as gold sums
design -copy-from gate -as gate sums
miter -equiv -make_assert -flatten gold gate both
sat -verify -prove-asserts -show-inputs both
"""


CARRY_SWAPPED = """chtype -set $__alu_swapped t:$alu
techmap -map carry8.v t:$__alu_swapped
select -assert-min 6 t:CARRY8
chtype -set $alu t:$__alu_swapped"""
"""Carries that take the second operand as it is, where that may be."""


@pytest.mark.parametrize("swapped", ["", CARRY_SWAPPED], ids=["first", "second"])
def test_carry8_adds(folder: Path, report: SynthesisReport, swapped: str) -> None:
    """Yosys proves that sums, differences and comparisons in CARRY8 cells are those of the source."""
    assert set(TECHMAPS) <= {path.name for path in folder.iterdir()}
    (folder / "sums.v").write_text(CARRY_DESIGN)
    (folder / "proof.ys").write_text(CARRY_PROOF.format(swapped=swapped))
    run_yosys(folder, "proof.ys")


def test_command_explains_itself() -> None:
    from gatewright.cli.synth import synth

    result = CliRunner().invoke(synth, ["--help"])
    assert result.exit_code == 0
    assert "a board's chip" in result.output


def test_golden_area(tmp_path: Path) -> None:
    changed = golden_area.difference(
        golden_area.read()[golden_area.TESTED], golden_area.measure(golden_area.TESTED, tmp_path)
    )
    assert not changed, "\n".join([f"area has changed; if meant, run {golden_area.COMMAND}", *changed])


def test_numbers_in_module_names_are_dropped() -> None:
    statistics = {
        "modules": {
            "\\top": {"num_cells_by_type": {"LUT2": 1, "top.control$437": 1}},
            "\\top.control$437": {"num_cells_by_type": {"FDRE": 5}},
        }
    }
    modules, cells = module_resources(json.dumps(statistics), "top")
    assert modules == {"top": Resources(lut=1, ff=5), "top.control": Resources(ff=5)}
    assert cells == {"FDRE": 5, "LUT2": 1}


def test_a_module_used_twice_is_an_error() -> None:
    modules = {"\\top": {"num_cells_by_type": {"top.a": 2}}, "\\top.a": {"num_cells_by_type": {"FDRE": 1}}}
    with pytest.raises(GatewrightError, match="more or less than once"):
        module_resources(json.dumps({"modules": modules}), "top")


def test_every_block_has_a_golden_path() -> None:
    """``make placed`` measures them; a block that is new, or gone, must not stay unnoticed until then."""
    golden = placed_paths.read()
    assert list(golden) == list(placed_paths.BLOCKS)
    assert all(one["placed_ns"] > one["added_up_ns"] > 0 for one in golden.values())
