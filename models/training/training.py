"""Training of static and gated networks by a recipe: seeded, resumable, logged.

A run lives in a folder: ``state.pt`` (to resume), ``metrics.jsonl`` (a line an epoch) and, when
it is done, ``model.safetensors``.
"""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from gatewright.contract.errors import GatewrightError
from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from gatewright.models.checkpoints.pickled_tensors import load_pickled
from gatewright.models.datasets.augmentation import Batches
from gatewright.models.datasets.images import ImageSet
from gatewright.models.families.block import BlockMasks
from gatewright.models.families.early_exits import EarlyExits
from gatewright.models.families.network import Network
from gatewright.models.families.resnet_cifar.growth import grow
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.gates.decision import NEVER
from gatewright.models.training.batch_shaping import batch_shaping_loss
from gatewright.models.training.cycle_model import CycleFit, CycleModel
from gatewright.models.training.distillation import TeacherAnswers, distillation_loss
from gatewright.models.training.evaluation import evaluate_float
from gatewright.models.training.losses import gating_loss
from gatewright.models.training.recipes import Recipe
from gatewright.models.training.revival import revive, soften

MOVED_BY = 1000
"""Training images, the first ones, by which a recipe with ``revived_share`` or ``softened`` changes gates."""

RUN_FILES = ("state.pt", "metrics.jsonl", "model.safetensors")  # of ``train_heads`` the last two


def _optimiser(network: Network, recipe: Recipe) -> torch.optim.SGD:
    """SGD with Nesterov momentum; no weight decay on the gates (paper, section 4.1)."""
    gates = [p for name, p in network.named_parameters() if ".mask_" in name]
    others = [p for name, p in network.named_parameters() if ".mask_" not in name]
    groups: list[dict[str, Any]] = [{"params": others}]
    if gates:
        groups.append({"params": gates, "weight_decay": 0.0, "share": recipe.gate_rate})
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )


def _learns(name: str) -> bool:
    """Whether a parameter, or a module, is of a gate or an exit."""
    return ".mask_" in name or name.startswith("exits.")


def _hold(network: Network) -> None:
    """Leave everything but gates and exits as it is; see ``Recipe.frozen``."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_learns(name))
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and not _learns(name):
            module.eval()


def initialise_from(network: Network, checkpoint: str | Path, fresh_gates: bool = False) -> None:
    """Start a gated network from a static one (paper, section 4.1) or a gated one; a shallower one is grown.

    With ``fresh_gates`` the checkpoint's gates are left where they are. A network with early exits may start from one
    without: its exits begin anew, and answer for nobody.
    """
    source, spec = load_checkpoint(checkpoint)
    if isinstance(network, EarlyExits) and not isinstance(source, EarlyExits):
        network = network.network
    if type(source) is not type(network):
        raise GatewrightError(
            f"{checkpoint} is of the family {spec.family_name}; a network starts from one of its own "
            "with the same blocks"
        )
    may_grow = spec.depth < network.depth and isinstance(network, ResNetCifar)
    if spec.depth != network.depth and not may_grow:
        raise GatewrightError(
            f"{checkpoint} is a {spec.name}; a network of {network.depth} layers cannot start from one of {spec.depth}"
        )
    state = source.state_dict()
    if may_grow:
        state = grow(state, spec.depth, network.depth)
    if fresh_gates:
        state = {name: tensor for name, tensor in state.items() if ".mask_" not in name}
    missing, unexpected = network.load_state_dict(state, strict=False)
    if unexpected or any(".mask_" not in name for name in missing):
        raise GatewrightError(f"{checkpoint} does not fit: unexpected {unexpected[:3]}, missing {missing[:3]}")


def _check_losses(spec: NetworkSpec, recipe: Recipe) -> None:
    """Gates need the losses of one paper."""
    if recipe.shapes_batches:
        if spec.gating not in ("bas", "channel") or spec.target_density is not None:
            raise GatewrightError(
                "a recipe with batch shaping is for gates 'bas' or 'channel' without a target density; its complexity "
                "weight decides what is left"
            )
    elif spec.gating != "none" and spec.target_density is None:
        raise GatewrightError("a gated network needs a target density between 0 and 1")


def train(
    spec: NetworkSpec,
    recipe: Recipe,
    train_set: ImageSet,
    test_set: ImageSet,
    folder: str | Path,
    *,
    seed: int = 0,
    initial: str | Path | None = None,
    teachers: Sequence[str | Path] = (),
    compiled: bool = False,
    resume: bool = False,
    evaluate_every: int = 1,
    cycles: CycleFit | None = None,
    target_cycles: float | None = None,
    device: str = "cpu",
    report: Callable[[dict[str, object]], None] = lambda record: None,
) -> Path:
    """Train a network and return the path of its checkpoint.

    With ``resume`` a run goes on from the last finished epoch, random state included; without it
    a folder that already holds a run is refused. ``teachers`` are checkpoints of static networks to
    learn from beside the labels, by the mean of their logits. Early exits learn with the network, and answer for
    nobody until ``train_heads`` sets their thresholds. With ``cycles`` the log has the network's cycles as a share of
    the dense ones, by the model; with ``target_cycles``, too, equation (8) is on this share and not on that of the
    MACs. ``compiled`` fuses the network's operations with torch.compile, which needs a C++ compiler and draws other
    gate noise for the same seed.
    """
    _check_losses(spec, recipe)
    for images in (train_set, test_set):
        images.check_labels(spec.classes)
    folder = Path(folder)
    state_file = folder / "state.pt"
    found = [name for name in RUN_FILES if (folder / name).exists()]
    if found and not resume:
        raise GatewrightError(f"{folder} already holds a run; continue it with --resume or choose another folder")
    if found and found[-1] == RUN_FILES[-1] and found[0] != state_file.name:
        raise GatewrightError(
            f"{folder} holds a network, and no {state_file.name} to go on from; choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    target = torch.device(device)
    network = spec.build()
    if target_cycles is not None and (cycles is None or spec.target_density is None):
        raise GatewrightError("a target of cycles needs fitted cycles, and a target density, which bounds the gates")
    model = None if cycles is None else CycleModel(cycles, network, target_cycles)
    if initial is not None:
        initialise_from(network, initial, recipe.fresh_gates)
    shown = train_set.head(min(MOVED_BY, len(train_set)))
    if recipe.revived_share is not None:
        revive(network, torch.from_numpy(shown.normalised()), recipe.revived_share)
    if recipe.softened is not None:
        soften(network, torch.from_numpy(shown.normalised()), recipe.softened)
    network.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(network, EarlyExits):
        for gate in network.gates():
            gate.threshold = NEVER
    for block in network.blocks():
        block.tiles_between = recipe.tiles_between
        block.set_logit_limit(recipe.logit_limit)
        block.set_noise(recipe.gate_noise)
        block.set_apart(recipe.gates_apart)
    batches = Batches(train_set, recipe.batch_size, target)
    answers = TeacherAnswers(teachers, batches, folder, seed, recipe.views, compiled) if teachers else None
    optimiser = _optimiser(network, recipe)
    first = 0
    if state_file.exists():
        first = _resume(state_file, network, optimiser, spec, target)
    metrics = folder / "metrics.jsonl"
    if metrics.exists():  # an epoch that was logged but not saved is trained, and logged, again
        metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:first]))
    forward = torch.compile(network.answers_and_masks, dynamic=False) if compiled else network.answers_and_masks
    for epoch in range(first, recipe.epochs):
        started = time.monotonic()
        record: dict[str, object] = {
            "epoch": epoch + 1,
            **_train_epoch(network, forward, spec, recipe, optimiser, batches, answers, epoch, model),
        }
        if not np.isfinite(cast(float, record["loss"])):
            kept = f"the state after epoch {epoch} is kept" if epoch else "nothing was kept"
            raise GatewrightError(
                f"the training lost its footing: the loss of epoch {epoch + 1} is not finite; {kept}; "
                "start another run with a lower learning rate"
            )
        if (epoch + 1) % evaluate_every == 0 or epoch + 1 == recipe.epochs:
            result = evaluate_float(network, test_set, cycles=model)
            record |= {key: value for key, value in result.items() if key != "predictions"}
        record["seconds"] = round(time.monotonic() - started, 1)
        with metrics.open("a") as log:
            log.write(json.dumps(record) + "\n")
        report(record)
        partial = folder / "state.partial"
        snapshot = {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "epoch": epoch + 1,
        }
        if target.type == "cuda":
            snapshot["device_random"] = torch.cuda.get_rng_state(target)
        torch.save(snapshot, partial)
        partial.replace(state_file)
    save_checkpoint(folder / "model.safetensors", network, spec)
    return folder / "model.safetensors"


def _resume(file: Path, network: Network, optimiser: torch.optim.SGD, spec: NetworkSpec, device: torch.device) -> int:
    """Put everything back as ``file`` has it; returns the epochs that are done."""
    state: Any = load_pickled(file)
    try:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        if "device_random" in state:
            torch.cuda.set_rng_state(state["device_random"], device)
        return operator.index(state["epoch"])
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise GatewrightError(f"{file} is damaged or of another network than {spec.name} ({error})") from error


def _task_loss(logits: Tensor, labels: Tensor, taught: Tensor | None, recipe: Recipe) -> Tensor:
    """What an answer [N, classes] lacks, of the labels [N] and of the teacher's answers."""
    if taught is None:
        return nn.functional.cross_entropy(logits.float(), labels)
    return distillation_loss(logits.float(), taught, labels, recipe.temperature, recipe.teacher_weight)


def _train_epoch(
    network: Network,
    forward: Callable[[Tensor], tuple[list[Tensor], list[BlockMasks]]],
    spec: NetworkSpec,
    recipe: Recipe,
    optimiser: torch.optim.SGD,
    batches: Batches,
    answers: TeacherAnswers | None,
    epoch: int,
    cycles: CycleModel | None,
) -> dict[str, object]:
    network.train()
    if recipe.frozen:
        _hold(network)
    taught = None if answers is None else answers.logits(epoch)
    crops = None if answers is None else answers.crops(epoch)
    order = batches.epoch()
    losses, regularisers, correct = [], [], 0
    bar = tqdm(order, f"epoch {epoch + 1}/{recipe.epochs}", mininterval=2, leave=False)
    for step, index in enumerate(bar):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate((epoch + step / len(order)) / recipe.epochs) * group.get("share", 1.0)
        images, labels = batches.batch(index, None if crops is None else crops.of(index))
        with torch.autocast(images.device.type, torch.bfloat16):
            all_logits, masks = forward(images)
        hints = None if taught is None else taught[index]
        *early, logits = all_logits
        loss = _task_loss(logits, labels, hints, recipe)
        for answer in early:
            loss = loss + recipe.exit_weight * _task_loss(answer, labels, hints, recipe)
        losses.append(loss.detach())
        if spec.target_density is not None:
            regulariser = gating_loss(
                network,
                masks,
                spec.target_density,
                recipe.slack(epoch),
                recipe.sparsity_weight,
                recipe.bound_weight,
                recipe.liveness_weight,
                recipe.bound_gradient,
                cycles,
            )
        elif recipe.shapes_batches:
            regulariser = batch_shaping_loss(network, recipe.shaping(epoch), recipe.complexity(epoch))
        else:
            regulariser = torch.zeros((), device=loss.device)
        regularisers.append(regulariser.detach())
        loss = loss + regulariser
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        correct += int((logits.argmax(1) == labels).sum())
    return {
        "loss": float(torch.stack(losses).mean()),
        "gating_loss": float(torch.stack(regularisers).mean()),
        "train_top1": 100 * correct / len(batches.labels),
        "learning_rate": optimiser.param_groups[0]["lr"],
    }
