"""The command that searches a space of machines: explore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gatewright.contract.errors import GatewrightError

POINTS = 200


@click.command(epilog="Example: gatewright explore examples/space.toml -o build/explore --points 200 --verify 3")
@click.argument("space_path", metavar="SPACE.toml", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder; a search there goes on.")
@click.option("--points", type=click.IntRange(min=1), default=POINTS, help="Different points to try in all.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one for each core.")
@click.option("--cluster", metavar="ADDRESS", help="Run the points on this dask scheduler's workers instead.")
@click.option("--synth", "synths", type=click.IntRange(min=0), default=0, help="Points of the front to synthesise.")
@click.option("--verify", "verifies", type=click.IntRange(min=0), default=0, help="Points of the front to run as RTL.")
@click.option("--verify-images", type=click.IntRange(min=1), default=1, help="Images of each network on the RTL.")
@click.option("--reports", type=click.IntRange(min=0), default=0, help="Points of the front to write the report of.")
def explore(
    space_path: Path,
    out: Path,
    points: int,
    workers: int | None,
    cluster: str | None,
    synths: int,
    verifies: int,
    verify_images: int,
    reports: int,
) -> None:
    """Search a space of machines for networks: exact cycles, modelled area, the points that none beats.

    An interrupted search goes on where it was, with the same points as if nothing had happened; a larger --points
    makes it longer. Points of the front are taken evenly over it: --synth replaces their area by a synthesis's,
    --verify runs them as RTL in lockstep with the simulator.
    """
    import os

    from tqdm import tqdm

    from gatewright import flow
    from gatewright.explore.evaluate import Evaluator
    from gatewright.explore.search import Wanted, finish
    from gatewright.explore.space import load_space
    from gatewright.explore.study import Study
    from gatewright.explore.workload import load_workload

    space = load_space(space_path)
    flow.limit_threads()
    count = workers or os.cpu_count() or 1
    study = Study(space, out)
    with _where(cluster):
        click.echo(f"capture, quantise and evaluate {', '.join(use.name for use in space.networks)}", err=True)
        workloads = [load_workload(use) for use in space.networks]
        before = len(study.outcomes())
        with tqdm(total=min(points, space.size), initial=before, desc="points", unit="point") as bar:
            study.search(Evaluator(space, workloads, -1 if cluster else count, progress=bar.update), points)
    wanted = Wanted(synths, verifies, verify_images, reports)
    result = finish(space, study.outcomes(), workloads, out, wanted, count, lambda line: click.echo(line, err=True))
    refused = [outcome.refused for outcome in result.outcomes if outcome.refused is not None]
    by = ", ".join(f"{sum(one.by == who for one in refused)} by the {who}" for who in sorted({o.by for o in refused}))
    click.echo(f"points     {len(result.outcomes)} of {space.size:,}; {len(refused)} refused{f': {by}' if by else ''}")
    if len(result.outcomes) < min(points, space.size):
        click.echo("points     the sampler proposes nothing new; grid tries all of a space")
    click.echo(f"front      {len(result.front)} points")
    click.echo(f"area       {result.area_error}")
    different = [number for number, one in result.verified.items() if not one.same]
    if result.verified:
        click.echo(f"verified   {len(result.verified)} points on RTL, {len(different)} with a difference")
    click.echo(f"page       {out / 'explore.html'}")
    if different:
        click.get_current_context().exit(1)


@contextmanager
def _where(cluster: str | None) -> Iterator[None]:
    """Where joblib runs inside the context: on this machine, or on a dask cluster."""
    if cluster is None:
        yield
        return
    import joblib

    try:
        from distributed import Client
    except ImportError as error:
        raise GatewrightError("--cluster needs dask: pip install 'gatewright[cluster]'") from error
    try:
        client = Client(cluster, timeout=10)
    except (OSError, ValueError) as error:
        raise GatewrightError(f"no dask scheduler answers at {cluster}: {error}") from error
    with client, joblib.parallel_config(backend="dask"):
        yield


COMMANDS: tuple[click.Command, ...] = (explore,)
