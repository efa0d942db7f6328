"""How filters lie in DRAM: against the oracle here, and through the simulator's LOAD into a product."""

from __future__ import annotations

import numpy as np
import pytest

from gatewright.compiler.compile import Compiler
from gatewright.compiler.graph.graph import Requantisation
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.plan.layout import (
    ImageBuilder,
    padded_vectors,
    parameter_bytes,
    slices_of,
    weights_by_reduction,
    weights_by_vector,
)
from gatewright.contract.arch import PRESETS, ArchConfig
from gatewright.contract.isa import Opcode, Space, column
from gatewright.sim.fast.machine import simulate
from tests.support.graphs import random_inputs, resnet_graph

SHAPES = [(1, 1, 1, 1), (5, 3, 3, 7), (16, 3, 3, 16), (33, 1, 1, 20), (3, 5, 5, 3)]
ROWS = [4, 5, 7, 8, 12, 16]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", ROWS)
def test_by_vector_every_element_is_where_load_looks(shape: tuple[int, int, int, int], rows: int) -> None:
    weight = np.random.default_rng(rows).integers(-127, 128, shape).astype(np.int8)
    data = weights_by_vector(weight, ArchConfig(rows=rows)).view(np.int8)
    per_beat = max(1, 16 // rows)
    assert len(data) == shape[0] and data.shape[1] % 16 == 0
    flat, seen = weight.reshape(shape[0], -1), np.zeros(data.shape, bool)
    for vector in range(shape[0]):
        for k in range(flat.shape[1]):
            piece, lane = divmod(k, rows)
            byte = piece // per_beat * 16 + piece % per_beat * rows + lane
            assert data[vector, byte] == flat[vector, k]
            seen[vector, byte] = True
    assert not data[~seen].any(), "what is not a weight is zero: it takes part in sums"


@pytest.mark.parametrize("shape", SHAPES)
def test_by_reduction_every_element_is_where_load_looks(shape: tuple[int, int, int, int]) -> None:
    weight = np.random.default_rng(1).integers(-127, 128, shape).astype(np.int8)
    data = weights_by_reduction(weight, len(weight)).view(np.int8)
    filters, height, width, channels = shape
    bytes_per_tap = -(-filters // 16) * 16
    assert data.shape == (channels, height * width * bytes_per_tap)
    seen = np.zeros(data.shape, bool)
    for (n, y, x, c), value in np.ndenumerate(weight):
        byte = (y * width + x) * bytes_per_tap + n
        assert data[c, byte] == value
        seen[c, byte] = True
    assert not data[~seen].any()


def test_parameters_are_eight_bytes_a_channel() -> None:
    scale = Requantisation(np.array([-2, 1 << 30]), np.array([65535, 1]), np.array([47, 1]))
    expected = (-2).to_bytes(4, "little", signed=True) + b"\xff\xff\x2f\x00" + b"\x00\x00\x00\x40\x01\x00\x01\x00"
    assert parameter_bytes(scale).tobytes() == expected


def test_sizes_round_up() -> None:
    assert [padded_vectors(n) for n in (1, 4, 5)] == [4, 4, 8]
    arch = ArchConfig(rows=12)
    assert [slices_of(k, arch) for k in (0, 1, 12, 13)] == [1, 1, 1, 2]


def test_pieces_of_an_image_are_aligned_and_whole() -> None:
    builder, rng = ImageBuilder(), np.random.default_rng(2)
    pieces = [rng.integers(0, 256, n).astype(np.uint8) for n in (1, 64, 65, 0, 200)]
    addresses = [builder.add(piece) for piece in pieces]
    image = builder.build()
    assert len(image) == builder.size and all(address % 64 == 0 for address in addresses)
    for piece, address in zip(pieces, addresses, strict=True):
        np.testing.assert_array_equal(image[address : address + len(piece)], piece)


@pytest.mark.parametrize("preset", PRESETS)
def test_both_layouts_are_what_the_machine_loads(preset: str) -> None:
    """A gated network loads filters in both layouts; a byte elsewhere would change its logits."""
    seed = 3
    print(f"seed {seed}")
    graph = resnet_graph(8, size=16, seed=seed)
    sample = random_inputs(graph, 1, seed)
    reference = run_reference(graph, sample)
    program = Compiler(graph, PRESETS[preset]).compile({n: d[0] for n, d in reference.decisions.items()}, sample[0])
    loads = program.code[program.code[:, 0] == Opcode.LOAD]
    spaces = set(loads[:, column(Opcode.LOAD, "space")].tolist())
    assert spaces >= {Space.WEIGHTS_BY_VECTOR, Space.WEIGHTS_BY_REDUCTION}
    np.testing.assert_array_equal(simulate(program).logits, reference.logits[0])
    region = next(r for r in program.regions if r.name == "layer3.0.conv2")
    program.image[region.address : region.address + region.size] ^= 1
    assert not np.array_equal(simulate(program).logits, reference.logits[0])
