"""Networks whose images run back to back on memories that lose what nobody of an image needs any more."""

from __future__ import annotations

from gatewright import flow
from gatewright.agreement import check_outputs
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.images import lay_out, values_of
from gatewright.sim.fast.machine import simulate_images
from tests.support.exits import exits_case, one_for_each
from tests.support.poison import simulate_poisoned


def test_images_with_gates_see_nothing_of_each_other() -> None:
    network = flow.load_network("dgnet-resnet20-0.4")
    evaluation = flow.evaluate(network, network.spec.data.sample().head(3))
    live = flow.compile_live(network, PRESETS["ultra96"])
    dram, images = lay_out(live, list(evaluation.inputs))
    plain, found = simulate_images(live, dram, images), simulate_poisoned(live, dram, images, 1)
    assert found.locations > 3 * 10_000
    found.assert_same(plain.dram, plain.cycles)
    for number in range(images.count):
        values = values_of(live, found.dram, images, number)
        check_outputs(f"image {number}", values, evaluation.reference.outputs_of(number))


def test_images_that_leave_at_exits_see_nothing_of_each_other() -> None:
    case = exits_case()
    live = Compiler(case.graph, PRESETS["8x8"]).compile_live()
    order = one_for_each(case.reference.taken) * 2
    dram, images = lay_out(live, [case.inputs[position] for position in order])
    plain = simulate_images(live, dram, images)
    simulate_poisoned(live, dram, images, 1).assert_same(plain.dram, plain.cycles)
