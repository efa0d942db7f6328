"""Gated bottleneck blocks on the RTL: gates on masked maps, filters that a table picks, what follows in a wake."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.emit import tile_products
from gatewright.compiler.plan import wake
from gatewright.contract.arch import PRESETS
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.compiler.networks import lively_bottleneck
from tests.end_to_end.networks import NETWORK_SEED, case_of
from tests.support.chain import compare_image
from tests.support.layer_gates import partly_on
from tests.support.tiled import SmallPooledBottleneck

ARCH = replace(PRESETS["4x4"], weight_kib=8, scratchpad_kib=28)


def test_gated_bottleneck_blocks_run_in_lockstep(monkeypatch: pytest.MonkeyPatch) -> None:
    """With maps in DRAM by tiles, a hidden layer and the classifier in wakes, and averages behind their tiles.

    And blocks that are computed in all of these tiles, or in none, replayed and live.
    """
    monkeypatch.setattr(wake, "LEAST_BUFFERS", 0)
    monkeypatch.setattr(tile_products, "apart", lambda *sizes: True)
    expectations = []
    for gating in ("dual", "channel"):
        network = case_of(lively_bottleneck(gating, 16, NETWORK_SEED, channels=16), 16)
        compiler = Compiler(network.graph, ARCH)
        assert compiler.image.banks["layer2.1.conv2"].picked
        if gating == "dual":
            assert set(compiler.image.wakes) == {"layer2.0.conv3", "layer2.1.conv3"}
            assert {"layer2.0.downsample.0", "layer2.0.conv1"} <= compiler.image.passes.keys()
        compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True)
        assert compared.different == ()
        expectations.append(expect(compared.program))
    _, network = partly_on(lambda: SmallPooledBottleneck("aig"))
    compiler = Compiler(network.graph, ARCH)
    assert {"layer1.1.conv1", "layer1.1.conv3", "layer2.0.downsample.0"} <= compiler.image.passes.keys()
    for live in (None, compiler.compile_live()):
        compared = compare_image(compiler, network.inputs[0], network.reference, 0, audit=True, live=live)
        assert compared.different == ()
        expectations.append(expect(compared.program))
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * len(expectations)
    assert all(result.writes for result in results)
