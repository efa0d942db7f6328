"""Decision gates on a frozen network: trained with a hinge loss, each alone, then given thresholds together.

Shafiee et al. (CVPR Workshops 2019, *d-gate*), sections 2.2 and 3.1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.datasets.augmentation import PADDING, Batches, Crops
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.decision import NEVER, DecisionGate
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.training.training import initialise_from

BATCH = 250

OWN_WEIGHT = 3.0
"""Weight of a class's own images in its hinge loss. Nine of ten images are of other classes: with 1, a gate that knows
little has the least loss if it denies every class."""

NORM_WEIGHT = 1e-3
"""Lambda of the norm term. The paper prints it with a minus sign, which would make weights grow without end."""

HELD_OUT = 10
"""Every tenth training image sets the thresholds, and trains no gate."""

CANDIDATES = 48
"""Thresholds that are tried for a gate: so many quantiles of its distances."""


@dataclass(frozen=True)
class HeadRecipe:
    """How gates are trained: Adam, its rate linear to zero. ``views`` are the crops of each image that they see."""

    epochs: int = 30
    views: int = 2
    batch_size: int = 1000
    learning_rate: float = 5e-3


@dataclass(frozen=True)
class Seen:
    """What a frozen network makes of N images.

    ``averages`` are what its gates read, [N, channels] each; ``end`` [N] (int64) is the class that it answers at its
    end, ``labels`` [N] the right one. ``macs`` [exits + 1] is the mean image's work until an exit, the end last.
    """

    averages: list[Tensor]
    end: Tensor
    labels: Tensor
    macs: list[float]


def hinge_loss(distances: Tensor, labels: Tensor) -> Tensor:
    """One against all: sum over classes of max(0, 1 - y d), mean over images; y is 1 for the image's class, else -1.

    ``distances`` are [N, classes], ``labels`` [N]. The image's own class counts ``OWN_WEIGHT`` times.
    """
    own = F.one_hot(labels, distances.shape[1]).bool()
    sides = torch.where(own, distances, -distances)
    weights = torch.where(own, OWN_WEIGHT, 1.0)
    return (weights * F.relu(1 - sides)).sum(1).mean()


@torch.no_grad()
def look(network: EarlyExits, data: ImageSet, crops: Crops | None = None, device: str = "cpu") -> Seen:
    """The averages and answers for all images of a set: as they are, or cut as ``crops`` says."""
    batches = Batches(data, BATCH, torch.device(device))
    count, inner = len(data), network.network.eval()
    if crops is None:
        crops = Crops(torch.full((2, count, 1), PADDING), torch.zeros(count, 1, dtype=torch.bool))
    crops = crops.to(batches.device)
    averages: list[list[Tensor]] = [[] for _ in network.positions]
    end, macs = [], torch.zeros(len(averages) + 1, dtype=torch.float64)
    for index in torch.arange(count, device=batches.device).split(BATCH):
        x, _ = batches.batch(index, crops.of(index))
        x, masks = inner.stem(x), []
        for position, block in enumerate(inner.blocks()):
            x, decided = block(x)
            masks.append(decided)
            if position in network.positions:
                averages[network.positions.index(position)].append(x.mean((2, 3)).cpu())
        end.append(inner.head(x).argmax(1).cpu())
        macs += network.macs_of_exits(masks).expand(-1, len(index)).sum(1)
    return Seen([torch.cat(each) for each in averages], torch.cat(end), batches.labels.cpu(), (macs / count).tolist())


def train_gate(gate: DecisionGate, averages: Tensor, labels: Tensor, recipe: HeadRecipe) -> list[dict[str, float]]:
    """Fit a gate, from zero on, to averages [N, channels]; returns loss, accuracy and rate of each epoch.

    Averages are brought to mean 0 and deviation 1 for the training alone; the gate's weights take that in.
    """
    mean, deviation = averages.mean(0), averages.std(0) + 1e-6
    inputs = (averages - mean) / deviation
    weight = torch.zeros(gate.fc.out_features, gate.fc.in_features, requires_grad=True)
    bias = torch.zeros(gate.fc.out_features, requires_grad=True)
    optimiser = torch.optim.Adam([weight, bias], recipe.learning_rate)
    steps, done, log = recipe.epochs * -(-len(labels) // recipe.batch_size), 0, []
    for _ in range(recipe.epochs):
        total, correct = 0.0, 0
        for index in torch.randperm(len(labels)).split(recipe.batch_size):
            optimiser.param_groups[0]["lr"] = recipe.learning_rate * (1 - done / steps)
            distances = F.linear(inputs[index], weight, bias)
            loss = hinge_loss(distances, labels[index]) + NORM_WEIGHT * weight.norm()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total, done = total + float(loss.detach()) * len(index), done + 1
            correct += int((distances.argmax(1) == labels[index]).sum())
        log.append({"loss": total / len(labels), "train_top1": 100 * correct / len(labels)})
        log[-1]["learning_rate"] = optimiser.param_groups[0]["lr"]
    with torch.no_grad():
        gate.fc.weight.copy_(weight / deviation)
        gate.fc.bias.copy_(bias - (weight / deviation) @ mean)
    return log


def tuned_thresholds(
    distances: Sequence[Tensor], end: Tensor, labels: Tensor, work: Sequence[float], most_lost: float
) -> list[float]:
    """A threshold for each gate: those of the least mean work that lose at most a share of all images.

    Parameters
    ----------
    distances
        [N, classes] of each gate, in order of execution.
    end, labels
        [N]: the class that the network's end answers, and the right one.
    work
        What an image takes by its exit, the end last; in any unit.
    most_lost
        Share of the images, 0 to 1, that may be wrong beyond those that are wrong at the end.

    All combinations of ``CANDIDATES`` thresholds of each gate are tried: an image that leaves at one gate is none of
    the next one's. A gate for which no threshold is worth it has ``NEVER``.
    """
    if len(work) != len(distances) + 1:
        raise GatewrightError(f"{len(work)} numbers of work for {len(distances)} exits; give one each, and the end's")
    most = [each.amax(1) for each in distances]
    right = [each.argmax(1) == labels for each in distances]
    least = float((end == labels).double().mean()) - most_lost
    quantiles = torch.arange(1, CANDIDATES) / CANDIDATES
    candidates = [[*each.quantile(quantiles).tolist(), NEVER] for each in most]
    best, found = float("inf"), [NEVER] * len(distances)
    for thresholds in product(*candidates):
        staying = torch.ones(len(labels), dtype=torch.bool)
        correct, cost = torch.zeros(()), torch.zeros(())
        for threshold, distance, answer, price in zip(thresholds, most, right, work, strict=False):
            leaves = staying & (distance >= threshold)
            correct, cost = correct + (leaves & answer).sum(), cost + price * leaves.sum()
            staying = staying & ~leaves
        correct, cost = correct + (staying & (end == labels)).sum(), cost + work[-1] * staying.sum()
        if float(correct) / len(labels) >= least and float(cost) < best:
            best, found = float(cost), list(thresholds)
    return found


def train_heads(
    spec: NetworkSpec,
    initial: str | Path,
    train_set: ImageSet,
    test_set: ImageSet,
    folder: str | Path,
    *,
    recipe: HeadRecipe | None = None,
    most_lost: float = 0.005,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[dict[str, object]], None] = lambda record: None,
) -> Path:
    """Put trained gates on a network that stays as it is, and return the path of the checkpoint.

    ``spec`` is of a family with early exits; ``initial`` the checkpoint of such a network, whose gates begin anew, or
    of the network without them. Thresholds are those of the least MACs at which at most a share ``most_lost`` of the
    held-out training images is lost (`tuned_thresholds`). The folder gets ``metrics.jsonl``, too: an
    epoch's loss is the sum over the gates, its accuracy the last gate's.
    """
    recipe, folder = recipe or HeadRecipe(), Path(folder)
    if (folder / "metrics.jsonl").exists():
        raise GatewrightError(f"{folder} already holds a run; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = spec.build()
    if not isinstance(network, EarlyExits):
        raise GatewrightError(f"{spec.name} has no early exits; take the family resnet-cifar-exits")
    initialise_from(network, initial)
    network.to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = time.monotonic()
    held = torch.arange(len(train_set)) % HELD_OUT == HELD_OUT - 1
    views = [look(network, train_set, None, device)]
    for _ in range(recipe.views - 1):
        views.append(look(network, train_set, Crops.draw(len(train_set), torch.device("cpu")), device))
    network.to("cpu")
    labels = views[0].labels
    logs, distances = [], []
    for number, gate in enumerate(network.gates()):
        shown = torch.cat([view.averages[number][~held] for view in views])
        logs.append(train_gate(gate, shown, labels[~held].repeat(recipe.views), recipe))
        with torch.no_grad():
            distances.append(gate.fc(views[0].averages[number][held]))
    thresholds = tuned_thresholds(distances, views[0].end[held], labels[held], views[0].macs, most_lost)
    for gate, threshold in zip(network.gates(), thresholds, strict=True):
        gate.threshold = threshold
    seconds = round((time.monotonic() - started) / recipe.epochs, 1)
    with (folder / "metrics.jsonl").open("w") as lines:
        for epoch, of_gates in enumerate(zip(*logs, strict=True), start=1):
            record: dict[str, object] = {**of_gates[-1], "epoch": epoch, "gating_loss": 0.0, "seconds": seconds}
            record["loss"] = sum(each["loss"] for each in of_gates)
            if epoch == recipe.epochs:
                result = evaluate_float(network, test_set)
                record |= {key: value for key, value in result.items() if key != "predictions"}
                record["thresholds"] = thresholds
                report(record)
            lines.write(json.dumps(record) + "\n")
    save_checkpoint(folder / "model.safetensors", network, spec)
    return folder / "model.safetensors"
