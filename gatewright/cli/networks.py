"""Commands about networks that are trained: evaluate, zoo, curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.cli.options import cycles_arch_option, data_option
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.contract.arch import ArchConfig


def echo_cycles(name_or_path: str | Path, arch: ArchConfig, images: int | None) -> None:
    """Simulate images of the packaged sample and print a line."""
    from gatewright import flow

    network = flow.load_network(name_or_path)
    sample = network.spec.data.sample()
    sample = sample.head(min(images or len(sample), len(sample)))
    click.echo(f"cycles     {flow.measure_cycles(network, arch, sample)}")


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
    from gatewright.contract.arch import load_arch
    from gatewright.models.accuracy import why_no_accuracy
    from gatewright.models.checkpoints.checkpoint import load_checkpoint
    from gatewright.models.training.evaluation import evaluate_float
    from gatewright.models.zoo.catalogue import find, name_of

    arch = None if arch_name is None else load_arch(arch_name)
    network, spec = load_checkpoint(checkpoint := find(name_or_path))
    name = name_of(checkpoint, spec.name)
    test_set = spec.family.data.test_images(data, images)
    unknown = why_no_accuracy(spec, test_set)
    result = evaluate_float(network, test_set, progress=True)
    result.pop("predictions")
    if unknown is not None:
        result.pop("top1", None)
    flips: dict[str, float] = {}
    if int8:
        from gatewright import flow

        quantised = flow.load_network(name_or_path)
        click.echo(f"evaluate {len(test_set)} images in integers", err=True)
        integers = flow.evaluate(quantised, test_set)
        flips = integers.flips.gates
        if unknown is None:
            result["top1_int8"] = test_set.accuracy(integers.predicted_int8, spec.classes)
        result |= {
            "flipped_decisions": integers.flips.overall,
            "flipped_decisions_by_gate": flips,
        }
    result |= {"network": name, "images": len(test_set), "dense_macs": network.dense_macs()}
    if as_json:
        click.echo(json.dumps(result, sort_keys=True))
        return
    source = f"{'' if data is not None else 'packaged sample of the '}{spec.family.data.test_name}"
    click.echo(f"network    {name}")
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
    if isinstance(result.get("exit_shares"), list):
        *early, end = (f"{100 * share:.1f}%" for share in result["exit_shares"])  # type: ignore[attr-defined]
        click.echo(f"exits      {', '.join(early)} of the images leave early, {end} at the end")
    kinds = [kind for kind in ("spatial", "channel") if f"{kind}_dependent" in result]
    if kinds:
        shares = ", ".join(f"{100 * float(str(result[f'{kind}_dependent'])):.1f}% of {kind}" for kind in kinds)
        click.echo(f"depend     {shares} decisions are on for between 1% and 99% of the images")
        click.echo(f"closed     {result['blocks_closed']} of {len(network.blocks())} blocks for all images")
    if data is not None and images is None:
        _echo_card(name_or_path, result)
    if arch is not None:
        echo_cycles(name_or_path, arch, images)


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


COMMANDS: tuple[click.Command, ...] = (evaluate, zoo, curves)
