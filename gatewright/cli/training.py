"""Commands that train: train, train-exits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from gatewright.cli.networks import echo_cycles
from gatewright.cli.options import cycles_arch_option, required_data_option
from gatewright.contract.errors import GatewrightError
from gatewright.models.training.recipes import RECIPES, BoundGradient

TILES = ("1", "2", "4", "8", "16", "32")
GATINGS = ("none", "dual", "spatial", "channel", "bas", "aig", "skip", "ddi")


@click.command(
    epilog="Example: gatewright train --data cifar-10-python.tar.gz --gating dual --target-density 0.4 "
    "--recipe short-gated --initial runs/static/model.safetensors --out runs/dgnet-0.4"
)
@required_data_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--depth", type=int, default=20, help="Layers of the ResNet, 6n+2.")
@click.option("--gating", type=click.Choice(GATINGS), default="none", help="Gates in every block.")
@click.option("--exits", is_flag=True, help="Early exits behind the stages, beside the gates; see train-exits.")
@click.option(
    "--target-density",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the dense network's MACs to aim for; needed with gates.",
)
@click.option(
    "--cycles", type=click.Path(path_type=Path), help="Cycles that fit-cycles fitted: the log has their share."
)
@click.option(
    "--target-cycles",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the dense network's cycles to aim for, in place of its MACs; needs --cycles. The target density "
    "then bounds each gate alone.",
)
@click.option("--recipe", type=click.Choice(list(RECIPES)), default="short", help="Schedule of the training.")
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Instead of the recipe's.")
@click.option(
    "--bound-gradient",
    type=click.Choice(get_args(BoundGradient)),
    help="Instead of the recipe's: the gradient of a gate's density, as equation (9) is written or as the public code.",
)
@click.option(
    "--complexity",
    type=click.FloatRange(min=0),
    help="Instead of the recipe's: weight of the L0 loss (gamma) of the recipes for BAS gates and l0.",
)
@click.option(
    "--liveness",
    type=click.FloatRange(min=0),
    help="Instead of the recipe's: weight of the loss on tiles whose decision does not depend on the image.",
)
@click.option(
    "--tile",
    type=click.Choice(TILES),
    help="Edge of the tiles in all stages, in pixels; without it 4, 2 and 2, the paper's hybrid.",
)
@click.option("--initial", type=click.Path(path_type=Path), help="Checkpoint to start from; a shallower one grows.")
@click.option(
    "--teacher",
    "teachers",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Checkpoint of a static network to learn from; of several, from the mean of their logits.",
)
@click.option("--views", type=click.IntRange(min=1), help="Instead of the recipe's: crops that the teacher sees.")
@click.option("--compile", "compiled", is_flag=True, help="Fuse operations with torch.compile; needs a C++ compiler.")
@click.option("--evaluate-every", type=click.IntRange(min=1), default=1, help="Epochs from one test to the next.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of weights, order, crops and gate noise.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, from its last finished epoch.")
@click.option("--device", default="cpu", help="PyTorch device to train on.")
@cycles_arch_option
def train(
    data: Path,
    out: Path,
    depth: int,
    gating: str,
    exits: bool,
    target_density: float | None,
    cycles: Path | None,
    target_cycles: float | None,
    recipe: str,
    epochs: int | None,
    learning_rate: float | None,
    bound_gradient: BoundGradient | None,
    complexity: float | None,
    liveness: float | None,
    tile: str | None,
    initial: Path | None,
    teachers: tuple[Path, ...],
    views: int | None,
    compiled: bool,
    evaluate_every: int,
    seed: int,
    resume: bool,
    device: str,
    arch_name: str | None,
) -> None:
    """Train a network on its data set and write OUT/model.safetensors, with its activation ranges beside it.

    One line of figures is printed, and kept in OUT/metrics.jsonl, for every epoch. A run that was
    interrupted goes on with --resume and ends with the same weights.
    """
    from gatewright.contract.arch import load_arch
    from gatewright.flow import write_ranges
    from gatewright.models.families.spec import NetworkSpec
    from gatewright.models.gates.kinds import Gating
    from gatewright.models.training.cycle_model import load_fit
    from gatewright.models.training.training import train as run

    schedule = RECIPES[recipe]
    if gating != "none" and target_density is None and not schedule.shapes_batches:
        raise click.UsageError(f"--gating {gating} needs --target-density")
    if complexity is not None and not schedule.shapes_batches:
        raise click.UsageError("--complexity needs a recipe with batch shaping or L0, such as bas, continued-bas or l0")
    if liveness is not None and gating not in ("dual", "spatial"):
        raise click.UsageError("--liveness needs spatial gates: --gating dual or spatial")
    if tile is not None and gating not in ("dual", "spatial"):
        raise click.UsageError("--tile needs spatial gates: --gating dual or spatial")
    if gating == "none" and target_density is not None:
        raise click.UsageError("--target-density needs gates; choose them with --gating")
    if target_cycles is not None and cycles is None:
        raise click.UsageError("--target-cycles needs --cycles, a file of gatewright fit-cycles")
    arch = None if arch_name is None else load_arch(arch_name)
    known: tuple[Gating, ...] = get_args(Gating)
    schedule = replace(
        schedule,
        epochs=epochs or schedule.epochs,
        learning_rate=learning_rate or schedule.learning_rate,
        views=views or schedule.views,
        bound_gradient=bound_gradient or schedule.bound_gradient,
        complexity_weight=schedule.complexity_weight if complexity is None else complexity,
        liveness_weight=schedule.liveness_weight if liveness is None else liveness,
    )
    family = "resnet-cifar-exits" if exits else "resnet-cifar"
    edge = None if tile is None else int(tile)
    spec = NetworkSpec(depth, known[known.index(gating)], target_density, family_name=family, uniform_tile=edge)
    train_set, test_set = (spec.family.data.load(data, split) for split in ("train", "test"))
    checkpoint = run(
        spec,
        schedule,
        train_set,
        test_set,
        out,
        seed=seed,
        initial=initial,
        teachers=teachers,
        compiled=compiled,
        resume=resume,
        evaluate_every=evaluate_every,
        cycles=None if cycles is None else load_fit(cycles),
        target_cycles=target_cycles,
        device=_device(device),
        report=lambda record: click.echo(json.dumps(record)),
    )
    click.echo(f"{spec.name}: {checkpoint}")
    write_ranges(checkpoint, train_set)
    if arch is not None:
        echo_cycles(checkpoint, arch, None)


@click.command(
    "train-exits",
    epilog="Example: gatewright train-exits resnet20 --data cifar-10-python.tar.gz --most-lost 0.5 --out runs/exits",
)
@click.argument("name_or_path")
@required_data_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option(
    "--most-lost",
    type=click.FloatRange(0, 100),
    default=0.5,
    show_default=True,
    help="Percent of the held-out training images that may be lost by leaving early.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of crops and order.")
@cycles_arch_option
def train_exits(name_or_path: str, data: Path, out: Path, most_lost: float, seed: int, arch_name: str | None) -> None:
    """Put early exits on a trained CIFAR ResNet, which stays as it is, and set their thresholds.

    Each exit is a linear classifier, trained with a hinge loss. The thresholds are those of the least MACs at which
    no more images are lost than allowed, of the training images that no exit was trained with. NAME_OR_PATH is a CIFAR
    ResNet, or one of gatewright train --exits, whose exits begin anew.
    """
    from gatewright.contract.arch import load_arch
    from gatewright.flow import write_ranges
    from gatewright.models.checkpoints.checkpoint import load_checkpoint
    from gatewright.models.training.heads import train_heads
    from gatewright.models.zoo.catalogue import find

    arch = None if arch_name is None else load_arch(arch_name)
    initial = find(name_or_path)
    _, found = load_checkpoint(initial)
    if found.family_name not in ("resnet-cifar", "resnet-cifar-exits"):
        raise GatewrightError(f"{name_or_path} is a {found.name}; early exits are trained for CIFAR ResNets alone")
    spec = replace(found, family_name="resnet-cifar-exits")
    train_set, test_set = (spec.family.data.load(data, split) for split in ("train", "test"))
    checkpoint = train_heads(
        spec,
        initial,
        train_set,
        test_set,
        out,
        most_lost=most_lost / 100,
        seed=seed,
        report=lambda record: click.echo(json.dumps(record)),
    )
    click.echo(f"{spec.name}: {checkpoint}")
    write_ranges(checkpoint, train_set)
    if arch is not None:
        echo_cycles(checkpoint, arch, None)


def _device(name: str) -> str:
    """The name of a device that this PyTorch can use."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise GatewrightError(f"cannot use device {name!r} ({str(error).splitlines()[0]}); try cpu") from error
    return name


COMMANDS: tuple[click.Command, ...] = (train, train_exits)
