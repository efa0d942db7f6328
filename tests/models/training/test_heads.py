"""Decision gates: the hinge loss by hand, the frozen network, the thresholds against all combinations."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from gatewright.cli.main import main
from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.decision import NEVER, DecisionGate
from gatewright.models.training.curves import read_metrics
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.training.heads import HeadRecipe, hinge_loss, look, train_gate, train_heads, tuned_thresholds
from gatewright.models.training.recipes import Recipe
from gatewright.models.training.training import train
from tests.support.cifar import image_set

STATIC, EXITS = NetworkSpec(8), NetworkSpec(8, family_name="resnet-cifar-exits")
TRAIN, TEST = image_set(40, 1), image_set(12, 2)


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    save_checkpoint(tmp_path / "trunk.safetensors", STATIC.build(), STATIC)
    return tmp_path / "trunk.safetensors"


def test_the_hinge_loss_is_that_of_every_class_against_the_others() -> None:
    distances = torch.tensor([[1.5, -0.25, -3.0], [0.5, 0.25, -1.0]], requires_grad=True)
    # First image, of class 0: own 0; others max(0, 1 - 0.25) = 0.75 and 0. Second, of class 1: own 3 * 0.75; 1.5 and 0.
    loss = hinge_loss(distances, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((0.75 + 3 * 0.75 + 1.5) / 2)
    loss.backward()  # type: ignore[no-untyped-call]
    assert distances.grad is not None
    assert (2 * distances.grad).tolist() == [[0, 1, 0], [1, -3, 0]]


def test_a_gate_learns_what_a_line_separates_and_is_sure_of_what_lies_far_off() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 3, (600,), generator=generator)
    centres = torch.tensor([[4.0, 0, 50], [0, 4, 50], [-4, -4, 50]])
    averages = centres[labels] + torch.randn(600, 3, generator=generator)
    gate = DecisionGate(3, 3, 0.0)
    torch.manual_seed(1)
    log = train_gate(gate, averages, labels, HeadRecipe(epochs=20, batch_size=100, learning_rate=0.05))
    with torch.no_grad():
        distances = gate.fc(averages)
    assert float((distances.argmax(1) == labels).float().mean()) > 0.98
    assert log[-1]["train_top1"] > 98 and log[-1]["loss"] < log[0]["loss"] / 5 and len(log) == 20
    middle = gate.fc(torch.tensor([[0.0, 0.0, 50.0]])).detach().max()
    assert float(middle) < float(distances.amax(1).quantile(0.1)), "between the classes it is less sure"


def test_averages_are_what_the_gates_read(trunk: Path) -> None:
    network = EXITS.build()
    assert isinstance(network, EarlyExits)
    seen = look(network, TEST)
    with torch.no_grad():
        *early, end = network.eval().all_answers(torch.from_numpy(TEST.normalised()))
    for gate, averages, expected in zip(network.gates(), seen.averages, early, strict=True):
        torch.testing.assert_close(gate.fc(averages), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(seen.end, end.argmax(1)) and seen.labels.tolist() == TEST.labels.tolist()


def outcome(distances: list[torch.Tensor], end: list[int], labels: list[int], limits: tuple[float, ...]) -> list[int]:
    """By image: the exit, and whether the answer is right."""
    found = []
    for image, label in enumerate(labels):
        exit_, answer = len(limits), end[image]
        for number, limit in enumerate(limits):
            row = distances[number][image].tolist()
            if max(row) >= limit:
                exit_, answer = number, row.index(max(row))
                break
        found.append((exit_, answer == label))
    return found  # type: ignore[return-value]


def test_thresholds_are_those_of_the_least_work_that_lose_no_more_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.models.training.heads.CANDIDATES", 6)
    generator = torch.Generator().manual_seed(8)
    labels = torch.randint(0, 4, (60,), generator=generator)
    good = torch.nn.functional.one_hot(labels, 4).float()
    distances = [good * scale + torch.randn(60, 4, generator=generator) for scale in (1.0, 2.0)]
    end = torch.where(torch.rand(60, generator=generator) < 0.9, labels, (labels + 1) % 4)
    work = [10.0, 30.0, 70.0]
    quantiles = torch.arange(1, 6) / 6
    candidates = [[*each.amax(1).quantile(quantiles).tolist(), NEVER] for each in distances]
    right_at_end = int((end == labels).sum())
    chosen = []
    for lost in (0.0, 0.1, 1.0):
        best = float("inf")
        for limits in product(*candidates):
            rows = outcome(distances, end.tolist(), labels.tolist(), limits)
            if sum(row[1] for row in rows) >= right_at_end - lost * 60 - 1e-9:  # type: ignore[index]
                best = min(best, sum(work[row[0]] for row in rows))  # type: ignore[index]
        limits = tuple(tuned_thresholds(distances, end, labels, work, lost))
        rows = outcome(distances, end.tolist(), labels.tolist(), limits)
        assert sum(work[row[0]] for row in rows) == pytest.approx(best)  # type: ignore[index]
        chosen.append(best)
    assert chosen[0] > chosen[1] > chosen[2], "what may be lost buys work"
    useless = [torch.zeros(60, 4)]
    assert tuned_thresholds(useless, labels, labels, [80.0, 70.0], 0.0) == [NEVER]
    with pytest.raises(GatewrightError, match="2 numbers of work for 2 exits"):
        tuned_thresholds(distances, end, labels, work[:2], 0.0)


def test_heads_are_trained_on_a_network_that_stays_as_it_is(tmp_path: Path, trunk: Path) -> None:
    recipe, reports = HeadRecipe(epochs=4, views=2, batch_size=20), list[dict[str, object]]()
    paths = [
        train_heads(EXITS, trunk, TRAIN, TEST, tmp_path / name, recipe=recipe, seed=3, report=reports.append)
        for name in ("a", "b")
    ]
    (network, spec), (again, _) = (load_checkpoint(path) for path in paths)
    assert spec == EXITS and isinstance(network, EarlyExits)
    before = load_checkpoint(trunk)[0].state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.network.state_dict().items())
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert any(bool(gate.fc.weight.any()) for gate in network.gates())
    records = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert read_metrics(tmp_path / "a" / "metrics.jsonl") == records
    assert [record["epoch"] for record in records] == [1, 2, 3, 4] and records[-1]["top1"] == reports[0]["top1"]
    assert records[-1]["thresholds"] == pytest.approx([gate.threshold for gate in network.gates()])
    with pytest.raises(GatewrightError, match="already holds a run"):
        train_heads(EXITS, trunk, TRAIN, TEST, tmp_path / "a", recipe=recipe)
    with pytest.raises(GatewrightError, match="resnet8 has no early exits"):
        train_heads(STATIC, trunk, TRAIN, TEST, tmp_path / "c", recipe=recipe)


def test_an_evaluation_counts_what_an_image_takes_until_it_leaves() -> None:
    torch.manual_seed(2)
    network = EXITS.build().eval()
    assert isinstance(network, EarlyExits)
    with torch.no_grad():
        distances = network.all_answers(torch.from_numpy(TEST.normalised()))
        for gate, each in zip(network.gates(), distances, strict=False):
            gate.threshold = float(each.amax(1).median())
        answers, exits = network.forward_with_exits(torch.from_numpy(TEST.normalised()))
    result = evaluate_float(network, TEST, batch_size=5)
    counts = np.bincount(exits.numpy(), minlength=3)
    assert result["exit_shares"] == pytest.approx((counts / 12).tolist()) and (counts > 0).sum() >= 2
    assert result["predictions"].tolist() == answers.argmax(1).tolist()  # type: ignore[attr-defined]
    macs = network.macs_of_exits([BlockMasks(None, None)] * 3)[:, 0].numpy()
    assert result["mac_ratio"] == pytest.approx(float((macs * counts).sum() / 12 / network.dense_macs()))


def test_a_network_learns_with_its_exits_and_nobody_leaves_yet(tmp_path: Path, trunk: Path) -> None:
    recipe = Recipe(epochs=2, learning_rate=0.05, schedule="one-cycle", batch_size=20)
    network, spec = load_checkpoint(train(EXITS, recipe, TRAIN, TEST, tmp_path / "joint", seed=1, initial=trunk))
    assert spec == EXITS and isinstance(network, EarlyExits)
    torch.manual_seed(1)
    fresh = EXITS.build()
    assert isinstance(fresh, EarlyExits)
    for gate, start in zip(network.gates(), fresh.gates(), strict=True):
        assert gate.threshold == pytest.approx(NEVER) and not torch.equal(gate.fc.weight, start.fc.weight)
    assert evaluate_float(network, TEST)["exit_shares"] == [0, 0, 1]
    before = load_checkpoint(trunk)[0].state_dict()
    assert not torch.equal(network.network.state_dict()["conv1.weight"], before["conv1.weight"])


def test_exits_by_command_are_for_cifar_resnets(tmp_path: Path) -> None:
    spec = NetworkSpec(18, size=32, family_name="resnet-imagenet")
    save_checkpoint(tmp_path / "imagenet.safetensors", spec.build(), spec)
    for name, message in (
        (str(tmp_path / "imagenet.safetensors"), "is a resnet18; early exits are trained for CIFAR ResNets alone"),
        ("nothing", "no network of the zoo is called 'nothing'"),
    ):
        done = CliRunner().invoke(main, ["train-exits", name, "--data", str(tmp_path), "--out", str(tmp_path / "out")])
        assert done.exit_code == 2 and message in done.output
