"""Early exits: an image leaves at the first gate that is sure, and pays for what it has seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.datasets.imagenet import IMAGENET
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.exits import set_exits, synthesise_exits
from gatewright.models.synthetic.noise import noise_images

RESNET = NetworkSpec(18, classes=5, size=32, family_name="resnet-imagenet")


def with_exits(spec: NetworkSpec, seed: int = 1) -> EarlyExits:
    torch.manual_seed(seed)
    return EarlyExits(spec.build(), [0.0] * 3).eval()


def images(count: int, size: int) -> torch.Tensor:
    return torch.from_numpy(noise_images(count, size, 1, IMAGENET).normalised())


def test_an_image_leaves_at_the_first_gate_that_is_sure() -> None:
    network, x = with_exits(RESNET), images(12, 32)
    with torch.no_grad():
        answers = network.all_answers(x)
        for gate, distances in zip(network.gates(), answers, strict=False):
            gate.threshold = float(distances.amax(1).median())  # the median is an image's own: a tie is an answer
        logits, exits = network.forward_with_exits(x)
    assert set(exits.tolist()) >= {0, 1, 3}
    for image, (found, number) in enumerate(zip(logits, exits.tolist(), strict=True)):
        thresholds = [gate.threshold for gate in network.gates()]
        sure = [float(answers[g][image].max()) >= limit for g, limit in enumerate(thresholds)]
        assert number == ([*sure, True].index(True))
        assert torch.equal(found, answers[number][image])


def test_the_last_answer_is_the_networks_and_gates_read_averages_behind_main_blocks() -> None:
    network, x = with_exits(RESNET), images(3, 32)
    inner = network.network
    with torch.no_grad():
        *early, last = network.all_answers(x)
        assert torch.equal(last, inner(x))
        value = inner.stem(x)
        for number in range(3):
            for block in inner.get_submodule(f"layer{number + 1}").children():
                value, _ = block(value)
            fc = network.exits[number].fc
            expected = value.mean((2, 3)) @ fc.weight.T + fc.bias  # type: ignore[operator,union-attr]
            torch.testing.assert_close(early[number], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "ends"),
    [
        (NetworkSpec(101, classes=10, size=32, family_name="resnet-imagenet"), ("layer1", "layer2", "layer3")),
        (NetworkSpec(201, classes=10, size=32, family_name="densenet"), ("denseblock1", "denseblock2", "denseblock3")),
    ],
    ids=["resnet101", "densenet201"],
)
def test_macs_are_those_of_the_layers_up_to_an_exit(spec: NetworkSpec, ends: tuple[str, ...]) -> None:
    """Of the paper's networks: what runs until a main block's end, and the gates until there."""
    with torch.device("meta"):
        network = EarlyExits(spec.build(), [1.0, 1.6, 1.5]).eval()
        x = torch.zeros(1, 3, 32, 32)
    total, ran = 0, dict.fromkeys(ends, 0)

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        total += output[0].numel() * module.weight[0].numel()  # type: ignore[index,operator,union-attr]

    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and not name.startswith("exits."):
            module.register_forward_hook(count)
    widths = [gate.fc.in_features for gate in network.gates()]
    for end, gate in zip(ends, network.gates(), strict=True):
        gate.register_forward_hook(lambda *_, end=end: ran.__setitem__(end, total))
    network(x)
    heads = [10 * sum(widths[: number + 1]) for number in range(3)]
    expected = [ran[end] + head for end, head in zip(ends, heads, strict=True)] + [total + heads[-1]]
    undecided = [BlockMasks(None, None)] * len(network.blocks())
    assert network.macs_of_exits(undecided).flatten().tolist() == expected
    assert widths == ([256, 512, 1024] if spec.depth == 101 else [256, 512, 1792])


def test_the_papers_resnet_101_has_its_figures() -> None:
    """15.6 G operations, two for a MAC, without an exit (the paper's section 3)."""
    with torch.device("meta"):
        network = EarlyExits(NetworkSpec(101, classes=1000, size=224, family_name="resnet-imagenet").build(), [0.0] * 3)
    assert round(2 * network.network.dense_macs() / 1e9, 1) == 15.6


def test_thresholds_are_set_to_shares() -> None:
    network, x = with_exits(RESNET), images(20, 32)
    set_exits(network, x, [0.3, 0.2, 0.25])
    with torch.no_grad():
        _, exits = network.forward_with_exits(x)
    assert [int((exits == number).sum()) for number in range(4)] == [6, 4, 5, 5]


def test_a_drawn_network_has_the_shares_and_says_that_it_is_drawn() -> None:
    noise = noise_images(20, 16, 1, CIFAR10)
    network, spec = synthesise_exits(
        NetworkSpec(8, size=16, family_name="resnet-cifar-exits"), noise, [0.3, 0.3], seed=4
    )
    assert spec.synthetic and spec.name == "synthetic-exits-resnet8"
    with torch.no_grad():
        logits, exits = network.forward_with_exits(torch.from_numpy(noise.normalised()))
    assert [int((exits == number).sum()) for number in range(3)] == [6, 6, 8]
    assert len(set(logits.argmax(1).tolist())) > 2
    with pytest.raises(GatewrightError, match="resnet8 has no early exits; take the family resnet-cifar-exits"):
        synthesise_exits(NetworkSpec(8, size=16), noise, [0.3, 0.3], seed=4)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(GatewrightError, match="2 thresholds for 3 early exits; give one for each"):
        EarlyExits(RESNET.build(), [1.0, 1.0])
    with pytest.raises(GatewrightError, match="a MobileNetV2 has no main blocks here"):
        EarlyExits(NetworkSpec(53, size=32, family_name="mobilenet-v2").build(), [])
    with pytest.raises(GatewrightError, match=r"shares \[0.5, 0.5, 0.5\] for 3 early exits"):
        set_exits(with_exits(RESNET), images(4, 32), [0.5, 0.5, 0.5])


def test_thresholds_are_of_classes_and_part_of_the_network() -> None:
    network, x = with_exits(RESNET), images(12, 32)
    gate = network.gates()[0]
    with torch.no_grad():
        distances = network.all_answers(x)[0]
        gate.thresholds.fill_(float(distances.max()) + 1)
        assert not gate.answers(distances).any()
        gate.thresholds[2] = distances[:, 2].median()
        assert torch.equal(gate.answers(distances), distances[:, 2] >= distances[:, 2].median())
    again = with_exits(RESNET, seed=2)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.gates()[0].thresholds, gate.thresholds)


def test_a_checkpoint_of_the_family_is_recognised(tmp_path: Path) -> None:
    spec = NetworkSpec(8, classes=7, size=16, family_name="resnet-cifar-exits")
    assert spec.name == "exits-resnet8"
    network = spec.build().eval()
    assert isinstance(network, EarlyExits) and len(network.gates()) == 2
    save_checkpoint(tmp_path / "own.safetensors", network, spec)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "public.pth")
    x = images(2, 16)
    for name in ("own.safetensors", "public.pth"):
        loaded, found = load_checkpoint(tmp_path / name)
        assert found.name == spec.name and found.classes == 7 and torch.equal(loaded(x), network(x)), name
