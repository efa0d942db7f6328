"""The command that adds a trained checkpoint to the zoo: publish."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gatewright.cli.options import required_data_option


@click.command(
    epilog="Example: gatewright publish runs/dgnet-0.4/model.safetensors --data cifar-10-python.tar.gz "
    "--command 'gatewright train ...' --hardware '2 cores'"
)
@click.argument("name_or_path")
@required_data_option
@click.option("--command", "made_by", help="The commands that trained it.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the training.")
@click.option("--name", help="In the zoo; without it what the network's gates, depth and target density make.")
@click.option("--hardware", help="What it was trained on.")
def publish(
    name_or_path: str, data: Path, made_by: str | None, seed: int, name: str | None, hardware: str | None
) -> None:
    """Copy a checkpoint into the zoo with its activation ranges, its training log and a card.

    The card's figures are measured here: float and int8 top-1 and gate flips on the 10,000 test images, the share of
    MACs that is left, the mean density of every gate, cycles on the ultra96 machine for the images that ship with the
    package. Epochs and wall time are those of the log beside the checkpoint. For a network that is in the zoo
    already, the figures are measured again.
    """
    from dataclasses import asdict

    from gatewright import zoo_publication
    from gatewright.models.zoo.catalogue import names

    if name_or_path in names():
        card = zoo_publication.measure_again(name_or_path, data)
    elif made_by is None or hardware is None:
        raise click.UsageError("a checkpoint that is new to the zoo needs --command and --hardware")
    else:
        card = zoo_publication.publish(Path(name_or_path), data, zoo_publication.Origin(made_by, seed, hardware, name))
    click.echo(json.dumps(asdict(card), indent=1))


COMMANDS: tuple[click.Command, ...] = (publish,)
