"""Commands about networks: train, evaluate, zoo."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click

from gatewright.cli.options import cycles_arch_option, data_option, required_data_option
from gatewright.contract.errors import GatewrightError
from gatewright.models.training.recipes import RECIPES, BoundGradient

GATINGS = ("none", "dual", "spatial", "channel", "bas", "aig", "skip", "ddi")


@click.command(
    epilog="Example: gatewright train --data cifar-10-python.tar.gz --gating dual --target-density 0.4 "
    "--recipe short-gated --initial runs/static/model.safetensors --out runs/dgnet-0.4"
)
@required_data_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--depth", type=int, default=20, help="Layers of the ResNet, 6n+2.")
@click.option("--gating", type=click.Choice(GATINGS), default="none", help="Gates in every block.")
@click.option(
    "--target-density",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the dense network's MACs to aim for; needed with gates.",
)
@click.option("--recipe", type=click.Choice(list(RECIPES)), default="short", help="Schedule of the training.")
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Instead of the recipe's.")
@click.option(
    "--bound-gradient",
    type=click.Choice(get_args(BoundGradient)),
    help="Instead of the recipe's: the gradient of a gate's density, as equation (9) is written or as the public code.",
)
@click.option("--initial", type=click.Path(path_type=Path), help="Checkpoint to start from; a shallower one grows.")
@click.option("--teacher", type=click.Path(path_type=Path), help="Checkpoint of a static network to learn from.")
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
    target_density: float | None,
    recipe: str,
    epochs: int | None,
    learning_rate: float | None,
    bound_gradient: BoundGradient | None,
    initial: Path | None,
    teacher: Path | None,
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
    from gatewright.flow import write_ranges
    from gatewright.models.families.spec import NetworkSpec
    from gatewright.models.gates.kinds import Gating
    from gatewright.models.training.training import train as run

    if gating != "none" and target_density is None:
        raise click.UsageError(f"--gating {gating} needs --target-density")
    if gating == "none" and target_density is not None:
        raise click.UsageError("--target-density needs gates; choose them with --gating")
    known: tuple[Gating, ...] = get_args(Gating)
    schedule = RECIPES[recipe]
    schedule = replace(
        schedule,
        epochs=epochs or schedule.epochs,
        learning_rate=learning_rate or schedule.learning_rate,
        bound_gradient=bound_gradient or schedule.bound_gradient,
    )
    spec = NetworkSpec(depth, known[known.index(gating)], target_density)
    train_set, test_set = (spec.family.data.load(data, split) for split in ("train", "test"))
    checkpoint = run(
        spec,
        schedule,
        train_set,
        test_set,
        out,
        seed=seed,
        initial=initial,
        teacher=teacher,
        compiled=compiled,
        resume=resume,
        evaluate_every=evaluate_every,
        device=_device(device),
        report=lambda record: click.echo(json.dumps(record)),
    )
    click.echo(f"{spec.name}: {checkpoint}")
    write_ranges(checkpoint, train_set)
    if arch_name is not None:
        _echo_cycles(checkpoint, arch_name, None)


def _echo_cycles(name_or_path: str | Path, arch_name: str, images: int | None) -> None:
    """Simulate images of the packaged sample and print a line."""
    from gatewright import flow
    from gatewright.contract.arch import load_arch

    network = flow.load_network(name_or_path)
    sample = network.spec.data.sample()
    sample = sample.head(min(images or len(sample), len(sample)))
    click.echo(f"cycles     {flow.measure_cycles(network, load_arch(arch_name), sample)}")


def _device(name: str) -> str:
    """The name of a device that this PyTorch can use."""
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise GatewrightError(f"cannot use device {name!r} ({str(error).splitlines()[0]}); try cpu") from error
    return name


@click.command(epilog="Example: gatewright evaluate dgnet-resnet20-0.4 --data cifar-10-python.tar.gz")
@click.argument("name_or_path")
@data_option
@click.option("--images", type=click.IntRange(min=1), help="Only this many images, from the first on.")
@click.option(
    "--int8",
    is_flag=True,
    help="Also quantise the network and evaluate its integers. Your own checkpoint needs gatewright calibrate first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@cycles_arch_option
def evaluate(
    name_or_path: str, data: Path | None, images: int | None, int8: bool, as_json: bool, arch_name: str | None
) -> None:
    """Accuracy and remaining work of a network of the zoo, or of a checkpoint file."""
    from gatewright.models.accuracy import why_no_accuracy
    from gatewright.models.checkpoints.checkpoint import load_checkpoint
    from gatewright.models.training.training import evaluate_float
    from gatewright.models.zoo.catalogue import find

    network, spec = load_checkpoint(find(name_or_path))
    test_set = spec.family.data.test_images(data, images)
    unknown = why_no_accuracy(spec, test_set)
    result = evaluate_float(network, test_set, progress=True)
    result.pop("predictions")
    if unknown is not None:
        result.pop("top1", None)
    flips: dict[str, float] = {}
    if int8:
        from gatewright import flow

        integers = flow.evaluate(flow.load_network(name_or_path), test_set)
        flips = integers.flips.gates
        if unknown is None:
            result["top1_int8"] = test_set.accuracy(integers.predicted_int8, spec.classes)
        result |= {
            "flipped_decisions": integers.flips.overall,
            "flipped_decisions_by_gate": flips,
        }
    result |= {"network": spec.name, "images": len(test_set), "dense_macs": network.dense_macs()}
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    source = f"{'' if data is not None else 'packaged sample of the '}{spec.family.data.test_name}"
    click.echo(f"network    {spec.name}")
    click.echo(f"images     {len(test_set)} ({source})")
    if unknown is not None:
        click.echo(f"top-1      none: {unknown}")
    else:
        click.echo(f"top-1      {result['top1']:.2f}% (float32)")
        if int8:
            click.echo(f"           {result['top1_int8']:.2f}% (int8)")
    if flips:
        click.echo(f"flips      {100 * integers.flips.overall:.3f}% of gate decisions differ between float32 and int8")
        for gate, share in flips.items():
            click.echo(f"           {100 * share:.3f}% {gate}")
    ratio = float(str(result["mac_ratio"]))
    click.echo(f"MACs ratio {ratio:.4f} of {network.dense_macs():,}: {100 * (1 - ratio):.1f}% saved")
    kinds = [kind for kind in ("spatial", "channel") if f"{kind}_dependent" in result]
    if kinds:
        shares = ", ".join(f"{100 * float(str(result[f'{kind}_dependent'])):.1f}% of {kind}" for kind in kinds)
        click.echo(f"depend     {shares} decisions are on for between 1% and 99% of the images")
        click.echo(f"closed     {result['blocks_closed']} of {len(network.blocks())} blocks for all images")
    if data is not None and images is None:
        _echo_card(name_or_path, result)
    if arch_name is not None:
        _echo_cycles(name_or_path, arch_name, images)


def _echo_card(name: str, result: dict[str, object]) -> None:
    """For a network of the zoo, whether the whole test set gives the accuracy of its card, to the digit."""
    from gatewright.models.zoo import catalogue

    if name not in catalogue.names():
        return
    known = catalogue.card(name)
    claimed = {"top1": known.top1_float} | ({"top1_int8": known.top1_int8} if "top1_int8" in result else {})
    text = ", ".join(f"{value:.2f}%" for value in claimed.values() if value is not None)
    differs = [key for key, value in claimed.items() if value is None or f"{result[key]:.2f}" != f"{value:.2f}"]
    click.echo(f"card       {text}: {'reproduced' if not differs else 'NOT reproduced'}")


@click.command(epilog="Example: gatewright zoo")
@click.option("--markdown", is_flag=True, help="The table of docs/training.md: accuracy and cycles beside the paper's.")
def zoo(markdown: bool) -> None:
    """List the trained networks that ship with the package, and check their files."""
    from gatewright.models.zoo.catalogue import card, is_intact, names
    from gatewright.models.zoo.table import zoo_table

    if markdown:
        click.echo(zoo_table([card(name) for name in names()]), nl=False)
        return
    if not names():
        click.echo("The zoo is empty; train a network with gatewright train.")
        return
    width = max(len("name"), *(len(name) for name in names()))
    click.echo(f"{'name':<{width}}  top-1 float  top-1 int8  MACs ratio  speedup  epochs  file")
    damaged = []
    for name in names():
        entry = card(name)
        if not is_intact(name):
            damaged.append(name)
        int8 = "-" if entry.top1_int8 is None else f"{entry.top1_int8:.2f}%"
        speedup = "-" if entry.speedup is None else f"{entry.speedup:.3f}"
        state = "damaged" if name in damaged else "intact"
        figures = f"{entry.top1_float:>10.2f}%  {int8:>10}  {entry.mac_ratio:>10.4f}  {speedup:>7}  {entry.epochs:>6}"
        click.echo(f"{name:<{width}}  {figures}  {state}")
    if damaged:
        raise GatewrightError(f"the files of {', '.join(damaged)} differ from their cards; install gatewright again")


@click.command(epilog="Example: gatewright curves runs/dgnet-0.4 -o build/curves.svg")
@click.argument("run")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Picture: .svg, .png or .pdf.")
def curves(run: str, out: Path) -> None:
    """Draw accuracy, losses and the density of every gate by epoch.

    RUN is the folder of a training run, also of one that still goes on, or a network of the zoo.
    """
    from gatewright.models.training.curves import draw_curves, read_metrics
    from gatewright.models.zoo.catalogue import find, metrics_path, names

    log = metrics_path(find(run)) if run in names() else Path(run) / "metrics.jsonl"
    draw_curves(read_metrics(log), Path(run).name, out)
    click.echo(out)


COMMANDS: tuple[click.Command, ...] = (train, evaluate, zoo, curves)
