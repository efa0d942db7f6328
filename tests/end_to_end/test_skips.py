"""Live programs leave out what a gate closes: whole layers, and the instructions of blocks without a tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.reference import run_reference
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import Opcode, column
from gatewright.contract.trace import first_difference
from gatewright.sim.fast.machine import simulate
from gatewright.sim.stepped import step_simulate
from tests.end_to_end.networks import captured, forced
from tests.end_to_end.test_gate_forms import case as form_case
from tests.end_to_end.test_layer_gates import made
from tests.support.chain import compare_image

FORMS = "layers: argmax", "layers: one layer", "layers: convolutions", "layers: bypassed"
"""Of blocks with an identity and with a shortcut."""


@pytest.mark.parametrize("form", FORMS)
def test_gates_of_whole_layers_decide_as_the_program_runs(form: str) -> None:
    network, compiler = form_case(form), Compiler(form_case(form).graph, PRESETS["ultra96"])
    live, cycles = compiler.compile_live(), dict[tuple[int, ...], int]()
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        bits = tuple(int(compared.result.gates[gate.name][0]) for gate in live.gates)
        assert cycles.setdefault(bits, compared.result.cycles) == compared.result.cycles
    assert len(cycles) > 2, "too few of the gates' decisions are among the images"
    assert min(cycles, key=lambda bits: cycles[bits]) == min(cycles, key=sum)
    if (0, 0) in cycles and (1, 1) in cycles:
        assert cycles[0, 0] < 0.5 * cycles[1, 1], "what is left out takes about no time"


@pytest.mark.parametrize("name", ["basic blocks", "bottleneck blocks"])
def test_residual_networks_with_gates_of_whole_blocks(name: str) -> None:
    _, network = made(name)
    compiler = Compiler(network.graph, PRESETS["ultra96"])
    live = compiler.compile_live()
    for position, sample in enumerate(network.inputs[:3]):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"


def test_filters_of_what_is_left_out_are_streamed_all_the_same() -> None:
    network = form_case("layers: argmax")
    small = replace(PRESETS["4x4"], weight_kib=1)
    compiler = Compiler(network.graph, small)
    assert any(bank.streamed for bank in compiler.image.banks.values())
    live = compiler.compile_live()
    for position, sample in enumerate(network.inputs[:4]):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"


def test_the_stepped_model_leaves_out_the_same() -> None:
    network = form_case("layers: argmax")
    live = Compiler(network.graph, PRESETS["4x4"]).compile_live()
    sample = network.inputs[3]
    assert not any(decided[3].any() for decided in network.reference.decisions.values())
    fast, stepped = simulate(live, sample), step_simulate(live, sample, fill_seed=1)
    assert first_difference(fast.trace, stepped.trace) is None and len(fast.left_out)
    np.testing.assert_array_equal(fast.logits, stepped.logits)


def test_closed_blocks_are_left_out_and_open_ones_take_as_long_as_before() -> None:
    network = captured("dual", 16)
    cycles = dict[bool, dict[bool, int]]()
    for on in (False, True):
        graph = forced(network.graph, "spatial", on)
        live = Compiler(graph, PRESETS["ultra96"]).compile_live()
        kept = live.code.copy()
        kept[kept[:, 0] == Opcode.SKIP, column(Opcode.SKIP, "instructions")] = 0  # nothing is left out
        sample = network.inputs[0]
        expected = run_reference(graph, sample[None]).outputs_of(0)
        cycles[on] = {}
        image = live.image.copy()
        words = np.frombuffer(encode(kept), np.uint8)
        image[live.code_address : live.code_address + len(words)] = words
        for skips, program in ((True, live), (False, replace(live, code=kept, image=image))):
            result = simulate(program, sample)
            assert all(np.array_equal(result.outputs[name], values) for name, values in expected.items())
            assert bool(len(result.left_out)) == (skips and not on)
            cycles[on][skips] = result.cycles
    assert cycles[False][True] < cycles[False][False]
    assert cycles[True][True] == cycles[True][False]


def test_a_map_that_is_left_out_whole_must_be_read_by_what_is_left_out_with_it() -> None:
    graph = form_case("layers: argmax").graph
    layers = list(graph.layers)
    reader = next(number for number, layer in enumerate(layers) if getattr(layer, "input_tiles", None))
    layers[reader] = replace(layers[reader], output_tiles=None)
    with pytest.raises(GatewrightError, match="reads a map that a gate leaves out whole"):
        Compiler(replace(graph, layers=layers), PRESETS["ultra96"]).compile_live()
