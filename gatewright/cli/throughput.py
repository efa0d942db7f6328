"""Several images on the machine at the same time: throughput."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.cli.options import arch_option, data_option, live_option

if TYPE_CHECKING:
    from gatewright.measure.sharing import SharingRow

MOST_IN_FLIGHT = 4


@click.command(epilog="Example: gatewright throughput dgnet-resnet20-0.4 --live --images 64 -o build/pairs.safetensors")
@click.argument("name_or_path")
@click.option("--images", "count", type=click.IntRange(min=2), default=64, help="Images, from the first on.")
@click.option(
    "--together", type=click.IntRange(min=2), default=16, help="Images that a program runs, one start for all."
)
@click.option("--in-flight", type=click.IntRange(2, MOST_IN_FLIGHT), default=2, help="Images on the machine at a time.")
@live_option
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Also write the program of the first images.")
@data_option
@arch_option
def throughput(
    name_or_path: str,
    count: int,
    together: int,
    in_flight: int,
    live: bool,
    out: Path | None,
    data: Path | None,
    arch_name: str,
) -> None:
    """Compare images one by one with several at a time: cycles an image, images a second, latency.

    While one image waits for its gates another one has the array: more images a second, each later. Every output and
    every gate of every image is checked. With --out the program of the first images is written; simulate runs it.
    """
    from tqdm import tqdm

    from gatewright import flow
    from gatewright.contract.arch import load_arch
    from gatewright.contract.errors import GatewrightError
    from gatewright.in_flight import InFlight, compile_group, sharing_rows

    how, arch = InFlight(together, in_flight, live), load_arch(arch_name)
    how.refuse_fewer(count)
    flow.limit_threads()
    network = flow.load_network(name_or_path)
    images = network.spec.data.test_images(data, count)
    evaluation = flow.evaluate(network, images)
    if live and not evaluation.decisions(0):
        raise GatewrightError(f"{name_or_path} has no gates: every program of it serves every image; leave out --live")
    dense = flow.dense_record(network, arch, evaluation.inputs[0]).cycles
    singly = flow.run_images(network, arch, images, evaluation, None, live)
    alone = [one.run.cycles for one in tqdm(singly, "one by one", total=count)]
    rows = sharing_rows(network, arch, evaluation, alone, dense, how)
    click.echo(f"network      {network.name}, {rows[0]['images']} images, {together} in a program")
    click.echo(f"program      {'live, one for all images' if live else 'compiled for the gates of these images'}")
    echo_sharing(rows)
    click.echo(f"dense        {dense:,} cycles, alone")
    if out is not None:
        compile_group(network, arch, evaluation, 0, how).save(out)
        click.echo(f"program      {out}")


def echo_sharing(rows: list[SharingRow]) -> None:
    """Print how images do alone and beside others, if that was asked for."""
    if not rows:
        return
    heads = f"{'cycles an image':>16}{'images/s':>12}{'speedup':>10}{'kept':>8}{'latency, mean':>16}{'most':>10}"
    click.echo(f"{'':13}{heads}")
    for row in rows:
        speeds = f"{row['images_per_second']:>12,.0f}{row['speedup']:>10.3f}{row['kept']:>8.3f}"
        latency = f"{row['latency_mean']:>16,.0f}{row['latency_most']:>10,}"
        click.echo(f"{row['name']:13}{row['cycles_image']:>16,.0f}{speeds}{latency}")


COMMANDS: tuple[click.Command, ...] = (throughput,)
