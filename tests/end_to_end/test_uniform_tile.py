"""Tiles of one edge in all stages (paper, section 4.4): what one live program computes is the reference's."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from gatewright.contract.errors import GatewrightError
from tests.compiler.networks import lively_resnet
from tests.end_to_end.networks import case_of
from tests.support.chain import compare_image


@pytest.mark.parametrize(("size", "tile"), [(16, 1), (32, 2), (32, 8), (16, 16)])
def test_every_image_runs_with_one_program(size: int, tile: int) -> None:
    network = case_of(lively_resnet("dual", size, seed=3, uniform_tile=tile), size)
    compiler, bits = Compiler(network.graph, PRESETS["ultra96"]), set()
    live = compiler.compile_live()
    for position, sample in enumerate(network.inputs):
        compared = compare_image(compiler, sample, network.reference, position, audit=True, live=live)
        assert compared.different == (), f"image {position}: {compared.different} differ"
        bits.add(tuple(np.concatenate([compared.result.gates[gate.name] for gate in live.gates])))
    assert len(bits) > 1, "every image has the same gates; nothing was decided"


def test_a_mask_that_no_machine_holds_is_refused() -> None:
    network = case_of(lively_resnet("spatial", 32, uniform_tile=1), 32)
    with pytest.raises(GatewrightError, match=r"layer1\.0\.mask_s: its 1024 tiles do not fit a mask of 512 bits"):
        Compiler(network.graph, PRESETS["ultra96"]).compile_live()
