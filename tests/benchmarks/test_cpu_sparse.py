"""im2col without masked rows and columns is the masked network; what it multiplies is what the network counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import cpu_sparse
from benchmarks.masked_im2col import Im2col
from gatewright.contract.errors import GatewrightError
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import lively_bottleneck, lively_resnet, random_images
from tests.support.split_layer_gates import split_layer_gates


def images(size: int = 16) -> torch.Tensor:
    return torch.from_numpy(random_images(6, size, 3)).permute(0, 3, 1, 2).float() / 64 - 2


@pytest.mark.parametrize("gating", ["none", "dual", "spatial", "channel", "bas", "aig"])
def test_logits_are_those_of_the_masked_network_and_macs_too(gating: Gating) -> None:
    network, x = lively_resnet(gating), images()
    if gating == "aig":
        split_layer_gates(network, x)
    ours = Im2col(network)
    with torch.no_grad():
        expected, masks = network.forward_with_masks(x)
        counted = network.gated_macs(masks).expand(len(x)).tolist()
    apart = network.head_macs() + sum(block.gate_macs() for block in network.blocks())
    for number, image in enumerate(x):
        torch.testing.assert_close(ours.run(image, gated=True), expected[number], rtol=1e-3, atol=1e-3)
        assert ours.macs() == pytest.approx(counted[number] - apart)
    if gating != "none":
        assert len(set(counted)) > 1, "images differ in their work"
    static = NetworkSpec(8, size=16).build().eval()
    static.load_state_dict({name: tensor for name, tensor in network.state_dict().items() if ".mask_" not in name})
    with torch.no_grad():
        dense = static(x)
    for number, image in enumerate(x):
        torch.testing.assert_close(ours.run(image, gated=False), dense[number], rtol=1e-3, atol=1e-3)
        assert ours.macs() == static.dense_macs() - static.head_macs()


def test_a_network_with_a_pooled_stem() -> None:
    torch.manual_seed(2)
    network = NetworkSpec(18, classes=5, size=32, family_name="resnet-imagenet").build().eval()
    x = images(32)[:2]
    with torch.no_grad():
        expected = network(x)
    for image, logits in zip(x, expected, strict=True):
        torch.testing.assert_close(Im2col(network).run(image, gated=False), logits, rtol=1e-3, atol=1e-3)


def test_other_networks_are_refused() -> None:
    with pytest.raises(GatewrightError, match="networks of basic blocks"):
        Im2col(lively_bottleneck("none"))
    with pytest.raises(GatewrightError, match="without SkipNet's gates"):
        Im2col(lively_resnet("skip"))


def test_a_row_says_what_was_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cpu.json"
    cpu_sparse.main(["--networks", "dgnet-resnet20-0.4", "--images", "2", "--repeats", "1", "--threads", "1",
                     "--out", str(out)])  # fmt: skip
    contents = json.loads(out.read_text())
    (row,) = contents["rows"]
    assert row["network"] == "dgnet-resnet20-0.4" and row["threads"] == 1 and not row["synthetic"]
    assert row["speedup"] == pytest.approx(row["dense_ms"] / row["gated_ms"]) and row["paper"] is None
    assert 2 < row["theoretical"] < 3 and row["largest_difference"] < 1e-3
    assert "dgnet-resnet20-0.4" in capsys.readouterr().out
    assert [cpu_sparse.PAPER[name].cpu for name in cpu_sparse.SYNTHETIC_NETWORKS] == [1.24, 1.21, 1.41]
