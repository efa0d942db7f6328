"""The command shift-gates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import click

from gatewright.cli.networks import echo_cycles
from gatewright.cli.options import Numbers, cycles_arch_option, required_data_option
from gatewright.contract.errors import GatewrightError

KINDS = ("spatial", "channel", "both")


@click.command(
    "shift-gates",
    epilog="Example: gatewright shift-gates dgnet-resnet20-0.5 --data cifar-10-python.tar.gz --macs 0.55,0.5,0.45",
)
@click.argument("name_or_path")
@required_data_option
@click.option("--macs", type=Numbers(finite=True), required=True, help="Shares of the dense network's MACs to be left.")
@click.option("--gates", "moved", type=click.Choice(KINDS), default="spatial", help="Gates that are moved.")
@click.option("--images", type=click.IntRange(min=1), default=2000, help="Training images that say how far.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the network of the one share.")
@cycles_arch_option
def shift_gates(
    name_or_path: str,
    data: Path,
    macs: tuple[float, ...],
    moved: str,
    images: int,
    out: Path | None,
    arch_name: str | None,
) -> None:
    """Move a network's gates, without training, until so many of its MACs are left.

    One number is taken from the logits of all gates of a kind: the least one at which at most that share is left,
    mean over the first training images. A line for each share says the number, and top-1 and the share of MACs of the
    test images, which have no part in it. NAME_OR_PATH is a network of the zoo or a checkpoint; OUT gets
    model.safetensors with its activation ranges, and the log of the training.
    """
    from gatewright.contract.arch import load_arch
    from gatewright.flow import write_ranges
    from gatewright.models.checkpoints.checkpoint import load_checkpoint, save_checkpoint
    from gatewright.models.training.evaluation import evaluate_float
    from gatewright.models.training.shifting import Moved, shift_to
    from gatewright.models.zoo.catalogue import find, metrics_path

    if any(not 0 < share <= 1 for share in macs):
        raise click.UsageError("--macs are shares, above 0 and at most 1")
    if out is not None and len(macs) > 1:
        raise click.UsageError("--out takes the network of one share; give --macs one number")
    if arch_name is not None and out is None:
        raise click.UsageError("--arch simulates the network that is written; give --out")
    arch = None if arch_name is None else load_arch(arch_name)
    known: tuple[Moved, ...] = get_args(Moved)
    kind = known[known.index(moved)]
    path = find(name_or_path)
    if out is not None and (out / "model.safetensors").exists():
        raise GatewrightError(f"{out} already holds a network; choose another folder")
    spec = load_checkpoint(path)[1]
    train_set, test_set = (spec.family.data.load(data, split) for split in ("train", "test"))
    shown = train_set.head(min(images, len(train_set)))
    for share in macs:
        network, _ = load_checkpoint(path)
        shift = shift_to(network, shown, share, kind)
        result = evaluate_float(network, test_set)
        figures = {name: result[name] for name in ("top1", "mac_ratio")}
        click.echo(json.dumps({"asked": share, "shift": round(shift.amount, 4), **figures}))
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(out / "model.safetensors", network, spec)
    for log in (metrics_path(path), path.with_name("metrics.jsonl")):
        if log.exists():
            shutil.copyfile(log, out / "metrics.jsonl")
            break
    click.echo(f"{spec.name}: {out / 'model.safetensors'}")
    write_ranges(out / "model.safetensors", train_set)
    if arch is not None:
        echo_cycles(out / "model.safetensors", arch, None)


COMMANDS: tuple[click.Command, ...] = (shift_gates,)
