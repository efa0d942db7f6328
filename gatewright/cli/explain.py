"""Questions about a network on a machine: explain."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gatewright.cli.options import arch_option, data_option, live_option


@click.command(epilog="Example: gatewright explain dgnet-resnet20-0.4 --arch ultra96")
@click.argument("name_or_path")
@click.option("--images", "count", type=click.IntRange(min=1), default=4, help="Images, from the first on.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Also write all figures to this file.")
@click.option("--energy", type=click.Path(path_type=Path), help="TOML file with the picojoules of an access.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one for each core.")
@live_option
@data_option
@arch_option
def explain(
    name_or_path: str,
    count: int,
    as_json: Path | None,
    energy: Path | None,
    workers: int | None,
    live: bool,
    data: Path | None,
    arch_name: str,
) -> None:
    """Say what bounds each layer, what more of each resource brings, and which gates are worth keeping.

    All of it is run: every machine is compiled for, every gate is left out, and results are checked.
    """
    from gatewright import flow
    from gatewright.contract.arch import load_arch
    from gatewright.explain.explain import explain as find_out
    from gatewright.explain.text import text
    from gatewright.measure.accesses import read_energy_table

    arch, pj = load_arch(arch_name), None if energy is None else read_energy_table(energy)
    flow.limit_threads()
    network = flow.load_network(name_or_path)
    found = find_out(network, arch, network.spec.data.test_images(data, count), live, pj, workers)
    if as_json is not None:
        as_json.parent.mkdir(parents=True, exist_ok=True)
        as_json.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    click.echo(text(found))


COMMANDS: tuple[click.Command, ...] = (explain,)
