"""The manual's timing diagrams say what the simulator says; ``python -m tests.docs.waves --check`` asks the RTL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatewright.contract.isa import QUEUED_UNITS, Unit
from gatewright.contract.timing import LOAD_ISSUE
from gatewright.sim.fast.machine import simulate
from tests.docs.diagrams import DIAGRAMS, Diagram, Records, program
from tests.docs.pages import PAGES
from tests.docs.waves import FOLDER, picture, samples_of, text_of


@pytest.fixture(scope="module")
def records() -> Records:
    return simulate(program()).trace.records


def drawn(diagram: Diagram) -> dict[str, Any]:
    waves: dict[str, Any] = json.loads((FOLDER / f"{diagram.name}.wave.json").read_text())
    return waves


def values_of(wave: str, data: list[str]) -> list[str]:
    """The value of a lane in each cycle."""
    texts, found = iter(data), list[str]()
    for mark in wave:
        found.append(found[-1] if mark == "." else next(texts) if mark == "=" else mark)
    return found


def lanes_of(waves: dict[str, Any]) -> dict[tuple[str, str], list[str]]:
    """The values by group and label."""
    found = {}
    for item in waves["signal"][1:]:
        group, lanes = (item[0], item[1:]) if isinstance(item, list) else ("", [item])
        found.update({(group, lane["name"]): values_of(lane["wave"], lane.get("data", [])) for lane in lanes})
    return found


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda one: one.name)
def test_events_are_those_of_the_simulator(diagram: Diagram, records: Records) -> None:
    first, last = diagram.window(records)
    waves = drawn(diagram)
    assert waves["foot"]["tick"] == first and waves["head"]["text"] == diagram.title
    cycles = range(first, last + 1)
    lanes = lanes_of(waves)
    assert all(len(values) == len(cycles) for values in lanes.values())
    for (group, label), values in lanes.items():
        if group in Unit.__members__:
            own = records[records["unit"] == Unit[group]]
            at = set((own["done"] - 1 if label == "retire" else own[label]).tolist())
            assert values == [str(int(cycle in at)) for cycle in cycles], f"{group} {label}"
        elif (group, label) == ("sequencer", "to unit"):
            queued = records[[unit in QUEUED_UNITS for unit in records["unit"]]]
            at = {int(r["dispatch"]): Unit(int(r["unit"])).name for r in queued}
            assert values == [at.get(cycle, "x") for cycle in cycles]
            assert lanes[group, "dispatch"] == [str(int(cycle in at)) for cycle in cycles]


def test_the_bus_reads_page_0_first() -> None:
    made = program()
    lanes = lanes_of(drawn(next(one for one in DIAGRAMS if one.name == "boot")))
    ready = [a == b == "1" for a, b in zip(lanes["AXI read", "ARVALID"], lanes["AXI read", "ARREADY"], strict=True)]
    (first, *_) = [cycle for cycle, taken in enumerate(ready) if taken]
    address, length = lanes["AXI read", "ARADDR"][first], int(lanes["AXI read", "ARLEN"][first])
    assert int(address, 16) == made.code_address % 4096
    assert length + 1 == min(256, 3 * made.boot_count)  # 48 bytes an instruction, 16 a beat
    assert first == LOAD_ISSUE + 1, "the boot's LOAD starts at 0; its address is a register first"
    assert lanes["AXI read", "RVALID"].index("1") == LOAD_ISSUE + made.arch.dram.latency


def test_a_store_writes_as_many_beats_as_it_says() -> None:
    lanes = lanes_of(drawn(next(one for one in DIAGRAMS if one.name == "store")))
    beats = [a == b == "1" for a, b in zip(lanes["AXI write", "WVALID"], lanes["AXI write", "WREADY"], strict=True)]
    lengths = [int(text) for text in set(lanes["AXI write", "AWLEN"]) - {"x"}]
    assert lengths == [sum(beats) - 1]
    last = [cycle for cycle, taken in enumerate(beats) if taken][-1]
    assert lanes["AXI write", "WLAST"][last] == "1"
    assert lanes["AXI write", "BVALID"].index("1") > last


def test_every_diagram_is_on_the_page_and_no_other_file_is_there() -> None:
    page = (PAGES / "timing.md").read_text()
    files = sorted(path.name for path in FOLDER.iterdir())
    assert files == sorted(f"{one.name}.wave.json" for one in DIAGRAMS)
    assert all(page.count(f"](waves/{name})") == 1 for name in files)


VCD = """\
$scope module bench $end
  $var wire  1 a clk $end
 $var wire 1 b trace_boot $end
$var wire 8 c word [7:0] $end
$upscope $end
#0
0a
1b
b101 c
#1
1a
0b
b110 c
#2
0a
b111 c
#3
1a
#4
0a
"""


def test_a_cycle_has_the_values_that_its_clock_edge_finds(tmp_path: Path) -> None:
    path = tmp_path / "w.vcd"
    path.write_text(VCD)
    assert [(s["trace_boot"], s["word"]) for s in samples_of(path, ["word"])] == [(1, 5), (0, 7)]


def test_a_picture_has_a_mark_a_cycle() -> None:
    diagram = DIAGRAMS[1]
    ports = {lane.port for _, lanes in diagram.groups for lane in lanes} | {"trace_dispatch"}
    cycles = {cycle: {port: int(cycle == 6) for port in ports} for cycle in range(5, 9)}
    waves = picture(diagram, cycles, 5, 8)
    assert json.loads(text_of(waves)) == waves
    assert lanes_of(waves)["sequencer", "dispatch"] == ["0", "1", "0", "0"]
    assert lanes_of(waves)["sequencer", "to unit"] == ["x", "LOAD", "x", "x"]
