"""Commands about a machine's cycles as a training sees them: fit-cycles."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.cli.options import arch_option


@click.command("fit-cycles", epilog="Example: gatewright fit-cycles dgnet-resnet20-0.5 -o build/cycles.json")
@click.argument("name_or_path")
@arch_option
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--runs", type=click.IntRange(min=1), default=200, help="Decisions to draw; every fourth judges the fit.")
@click.option("--images", type=click.IntRange(1, 256), default=32, help="Packaged images whose own decisions judge it.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what is drawn.")
def fit_cycles(name_or_path: str, arch_name: str, out: Path, runs: int, images: int, seed: int) -> None:
    """Fit a differentiable model of the machine's cycles to the simulator, for gatewright train --cycles.

    The network is compiled and simulated under drawn decisions of its gates, from all off to all on; its weights have
    no say in that. NAME_OR_PATH is a gated CIFAR ResNet of the zoo or a checkpoint.
    """
    from gatewright.contract.arch import load_arch
    from gatewright.cycle_fitting import fit_cycles as fit
    from gatewright.flow import load_network

    network, arch = load_network(name_or_path), load_arch(arch_name)
    made = fit(network, arch, network.spec.data.sample().head(images), runs, seed, progress=True)
    made.save(out)
    click.echo(f"{out}: {made.depth} layers with gates {made.gating!r} on {arch.name}, {made.dense:,.0f} cycles dense")
    for what, error in (
        ("drawn decisions, held out", made.drawn),
        ("the network's own decisions", made.own),
        ("a straight line on the MACs, on the drawn ones", made.macs),
    ):
        click.echo(
            f"{what}: {error.runs} runs, error {error.mean_percent:.2f}% (mean), {error.worst_percent:.2f}% (worst), "
            f"correlation {error.correlation:.4f}"
        )


COMMANDS: tuple[click.Command, ...] = (fit_cycles,)
