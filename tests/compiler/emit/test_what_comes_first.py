"""The order of a live program's instructions where the array would wait: short ends of layers, rows before filters."""

from __future__ import annotations

from dataclasses import replace

from gatewright import flow
from gatewright.compiler.compile import Compiler
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.contract.arch import PRESETS
from gatewright.contract.isa import Opcode, Space, column
from gatewright.contract.program import Program
from tests.compiler.networks import lively_bottleneck
from tests.end_to_end.networks import NETWORK_SEED, case_of


def field(program: Program, row: int, name: str) -> int:
    """A field of an instruction."""
    code = program.code[row]
    return int(code[column(Opcode(int(code[0])), name)])


def test_what_waits_for_a_layer_waits_for_the_epilogue_of_one_tile() -> None:
    network = flow.load_network("bas-resnet20")
    program = Compiler(network.graph, PRESETS["ultra96"]).compile_live()
    last = {
        layer: row
        for row, layer in enumerate(program.layers)
        if program.code[row][0] == Opcode.EPILOGUE and layer.startswith("layer2") and layer.endswith("conv2")
    }
    assert len(last) == 3
    assert {layer: field(program, row, "tile_count") for layer, row in last.items()} == dict.fromkeys(last, 1)


def test_filters_of_later_layers_come_behind_the_first_tiles_of_a_pass() -> None:
    arch = replace(PRESETS["8x8"], scratchpad_kib=36, weight_kib=24)
    graph = case_of(lively_bottleneck("dual", 16, NETWORK_SEED, channels=32), 16).graph
    program, image = Compiler(graph, arch).compile_live(), NetworkImage(graph, arch, live=True)
    order = [layer.name for layer in graph.layers]
    loads = [row for row, code in enumerate(program.code) if code[0] == Opcode.LOAD]
    regions = {region.name: region for region in program.regions if region.name in order}
    checked = 0
    for one in {one.rings: one for one in image.passes.values() if one.layers == (one.block.first,)}.values():
        name = one.layers[0].name
        first = next(
            row for row in loads if program.layers[row] == name and field(program, row, "space") == Space.SCRATCHPAD
        )
        for row in loads[: loads.index(first)]:
            address = field(program, row, "dram_address")
            for other, region in regions.items():
                if field(program, row, "space") != Space.SCRATCHPAD and order.index(other) > order.index(name):
                    assert not region.address <= address < region.address + region.size, f"{other} before {name}"
        checked += 1
    assert checked
