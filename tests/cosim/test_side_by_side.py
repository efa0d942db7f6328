"""Depthwise convolutions beside their neighbours on the RTL: by rows with a share on the array, by channels, a head."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatewright.compiler.plan.side_by_side import Order
from gatewright.contract.arch import PRESETS
from gatewright.verify import design, lockstep
from gatewright.verify.expectations import expect
from tests.end_to_end.test_side_by_side import case, forced, orders
from tests.support.chain import compare_image

ARCH = replace(PRESETS["4x4"], weight_kib=4)


def test_layers_side_by_side_run_in_lockstep(monkeypatch: pytest.MonkeyPatch) -> None:
    network, expectations = case(size=12, channels=8, last=36, classes=70), []
    for order, share in ((Order.SIDE_BY_SIDE, 4), (Order.BY_CHANNELS, 0)):
        compiler = forced(monkeypatch, network.graph, ARCH, order, 1, share)
        assert order in {made for made, *_ in orders(compiler)} and compiler.image.head is not None
        assert bool(compiler.image.share) == bool(share)
        compared = compare_image(compiler, network.inputs[0], network.reference, 0)
        assert compared.different == ()
        expectations.append(expect(compared.program))
    bench = lockstep.Bench(design.machine_verilog(ARCH), ARCH, lockstep.capacity_for(expectations))
    results = lockstep.verify(bench, expectations)
    assert [result.difference for result in results] == [None] * len(expectations)
    assert all(result.writes for result in results)
