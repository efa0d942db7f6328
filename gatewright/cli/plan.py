"""The command that prints how a network lies in a machine: plan."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.cli.options import arch_option, data_option


@click.command(epilog="Example: gatewright plan dgnet-resnet20-0.4")
@click.argument("name_or_path")
@click.option("--dense", is_flag=True, help="Plan the network without its gates.")
@click.option(
    "--image",
    "position",
    type=click.IntRange(min=0),
    help="Plan for what the gates decide on an image, by its position in the set. Without it, they are all on.",
)
@data_option
@arch_option
def plan(name_or_path: str, dense: bool, position: int | None, data: Path | None, arch_name: str) -> None:
    """Print a network's residency plan: filters, maps, and what bounds each layer.

    For every layer: whether its filters are resident or streamed (groups x pieces), how many bytes they are, and how
    often they are read if not once; whether its map lies whole or in a ring of rows; the rows of a band, where two
    convolutions take turns; and the cycles for which its work holds ARRAY, GATHER, EPILOGUE and LOAD, without latencies
    and waits. What does not fit is an error that says what is missing.
    """
    from gatewright import flow
    from gatewright.compiler.graph.serving import without_gates
    from gatewright.contract.arch import load_arch

    arch, network = load_arch(arch_name), flow.load_network(name_or_path)
    decisions = None
    if position is not None and not dense:
        decisions = flow.evaluate(network, network.spec.data.test_image(data, position)).decisions(0)
    gates = "without gates" if dense else "every gate on" if decisions is None else f"gates of image {position}"
    found = flow.plan(without_gates(network.graph) if dense else network.graph, arch, decisions)
    click.echo(f"{network.name} on {arch.name}, {gates}\n{found}")


COMMANDS: tuple[click.Command, ...] = (plan,)
