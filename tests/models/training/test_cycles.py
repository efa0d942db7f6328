"""The model of a machine's cycles: what it counts by hand, where its gradient points, its file."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from gatewright.contract.arch import PRESETS, ArchConfig, DramConfig
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.training.cycle_fit import fit_blocks
from gatewright.models.training.cycle_model import CycleFit, CycleModel, FitError, load_fit
from gatewright.models.training.cycle_times import BlockCycles, block_shapes, block_times
from gatewright.models.training.losses import gating_loss, sparsity_loss

ULTRA96 = PRESETS["ultra96"]
SLOW = replace(ULTRA96, name="slow", dram=DramConfig(beats=1, per_cycles=16))
PLAIN = BlockCycles(decision=100, factor=1, tile=0, pages=0)


def network(gating: str = "dual") -> Network:
    torch.manual_seed(0)
    return NetworkSpec(8, gating, 0.5).build()  # type: ignore[arg-type]


def fit(arch: ArchConfig = ULTRA96, block: BlockCycles = PLAIN) -> CycleFit:
    error = FitError(1, 0.0, 0.0, 1.0)
    return CycleFit("gatewright-cycles-1", 8, "dual", arch, 0, 8, 1000.0, 50_000.0, (block,) * 3, error, error, error)


def masks(tiles: tuple[int, ...], channels: tuple[int, ...]) -> list[BlockMasks]:
    """Decisions of one image: the first so many of ResNet-8's tiles and channels are on."""
    made = []
    for (grid, width), on_tiles, on_channels in zip(((8, 16), (8, 32), (4, 64)), tiles, channels, strict=True):
        spatial = (torch.arange(grid * grid) < on_tiles).float().view(1, 1, grid, grid)
        channel = (torch.arange(width) < on_channels).float().view(1, width, 1, 1)
        made.append(BlockMasks(spatial.requires_grad_(), channel.requires_grad_()))
    return made


def test_cycles_by_hand() -> None:
    # Block 1: 32 tiles of 16 pixels, 8 of 16 channels. First convolution: 9 slices of 512 pixels and 8 filters on 16
    # columns; second: 4.5 slices of 512 pixels and one block of filters, 2304, where GATHER takes 3 * 512.
    decided = 100 + 9 * 512 * 8 / 16 + 4.5 * 512 + 100
    # Block 2 is closed. Behind its decision the DRAM brings block 3's first filters, at 12 bytes a cycle; its shortcut
    # of 16 channels has 256 pixels and two blocks of 16 filters.
    brought = decided + 32 * 64 * 9 / 12
    decided = decided + 256 * 2 + 100
    assert brought > decided, "the first convolution of block 3 waits for its filters"
    # Block 3: 1 tile of 4 pixels, 64 of 64 channels: 18 slices of 64 filters past 16 pixels at the least; a shortcut of
    # two slices, 64 pixels and four blocks. Then its second filters, and 36 slices of 4 pixels, four blocks.
    first = brought + 18 * 64 + 2 * 64 * 4
    last = max(first, brought + 64 * 64 * 9 / 12) + 36 * 4 * 4
    model = CycleModel(fit(), network())
    assert model.cycles(masks((32, 0, 1), (8, 0, 64))).item() == pytest.approx(1000 + last)


def test_the_gradient_asks_for_less_of_what_takes_time() -> None:
    decided = masks((40, 30, 9), (12, 20, 40))
    CycleModel(fit(), network()).cycles(decided).sum().backward()
    for block in decided:
        for mask in (block.spatial, block.channel):
            assert mask is not None and mask.grad is not None
            assert (mask.grad > 0).all() and mask.grad.unique().numel() == 1, "every tile, every channel costs the same"


def test_where_the_dram_is_slow_channels_count_and_tiles_do_not() -> None:
    gradients = []
    for arch in (ULTRA96, SLOW):
        decided = masks((64, 64, 16), (16, 32, 48))
        CycleModel(fit(arch), network()).cycles(decided).sum().backward()
        spatial, channel = decided[-1].spatial, decided[-1].channel
        assert spatial is not None and spatial.grad is not None and channel is not None and channel.grad is not None
        gradients.append((float(spatial.grad.sum()), float(channel.grad.sum())))
    (tiles, channels), (slow_tiles, slow_channels) = gradients
    # The second convolution is computed behind its filters in any case: its part stays, the first one's is hidden.
    assert slow_tiles < 0.7 * tiles and slow_channels > 3 * channels


def test_masks_that_are_not_there_are_on() -> None:
    model = CycleModel(fit(), network())
    whole = masks((64, 64, 16), (16, 32, 64))
    alone = [BlockMasks(block.spatial, None) for block in whole]
    assert model.cycles(alone).item() == model.cycles(whole).item()


def test_the_loss_is_on_cycles_with_a_target_and_on_macs_without() -> None:
    net, decided = network(), masks((40, 30, 9), (12, 20, 40))
    share = CycleModel(fit(), net).share(decided).item()
    for model, expected in (
        (CycleModel(fit(), net, 0.25), 5 * (share - 0.25) ** 2),
        (CycleModel(fit(), net), 5 * sparsity_loss(net, decided, 0.5).item()),
    ):
        loss = gating_loss(net, decided, 0.5, slack=0, sparsity_weight=5, bound_weight=0, cycles=model)
        assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_fit_finds_the_numbers_of_a_known_machine() -> None:
    shapes = block_shapes(network())
    known = torch.tensor([[300.0, 1.1, 12, 700], [900, 0.9, 4, 200], [500, 1.0, 8, 500]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    tiles, channels = (
        torch.stack([torch.randint(1, most + 1, (200,), generator=generator) for most in every]).double()
        for every in ([shape.tiles for shape in shapes], [shape.channels for shape in shapes])
    )
    measured = block_times(SLOW, shapes, known, tiles, channels)
    found = fit_blocks(SLOW, shapes, tiles[:, :100], channels[:, :100], measured[:, :100])
    fitted = torch.tensor([list(asdict(block).values()) for block in found], dtype=torch.float64)
    said = block_times(SLOW, shapes, fitted, tiles[:, 100:], channels[:, 100:]).sum(0)
    torch.testing.assert_close(said, measured[:, 100:].sum(0), rtol=0.01, atol=0)


def test_the_file_keeps_every_number(tmp_path: Path) -> None:
    made = fit(SLOW, BlockCycles(412.5, 0.9731, 0.0, 510.25))
    made.save(tmp_path / "cycles.json")
    assert load_fit(tmp_path / "cycles.json") == made


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "gatewright-cycles-9", "newer Gatewright: its format is gatewright-cycles-9, this one reads"),
        ("dense", 0, "dense = 0 must be greater than 0"),
        ("outside", -1, "outside = -1 must be greater than or equal to 0"),
        ("blocks", [{"decision": 1}], "missing key blocks.0.factor"),
        ("tiles", 3, "unknown key tiles"),
    ],
)
def test_a_damaged_file_says_where(tmp_path: Path, key: str, value: object, message: str) -> None:
    path = tmp_path / "cycles.json"
    path.write_text(json.dumps(asdict(fit()) | {key: value}))
    with pytest.raises(GatewrightError, match="make it again with gatewright fit-cycles") as caught:
        load_fit(path)
    assert message in str(caught.value)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(GatewrightError, match=r"absent.json cannot be read .* gatewright fit-cycles"):
        load_fit(tmp_path / "absent.json")


def test_cycles_of_another_network_are_refused() -> None:
    with pytest.raises(GatewrightError, match="fitted for 8 layers with gates 'dual', the network has 8 .*'spatial'"):
        CycleModel(fit(), network("spatial"))


@pytest.mark.parametrize("gating", ["none", "aig"])
def test_gates_that_are_not_modelled_are_refused(gating: str) -> None:
    with pytest.raises(GatewrightError, match=f"with gates dual, spatial, .* not for a ResNetCifar .*{gating!r}"):
        block_shapes(network(gating))
