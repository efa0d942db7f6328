"""Several images in one start, and many in several, as ``simulate --images`` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gatewright.contract.program import Program


def simulate_in_starts(
    path: Path, program: Program, name_or_path: str, chosen: tuple[int, int], data: Path | None, workers: int | None
) -> None:
    """Run ``chosen`` (first, count) images of a network's set one behind the other, and print what they give."""
    import numpy as np

    from gatewright import flow
    from gatewright.agreement import of_users_network
    from gatewright.models.accuracy import why_no_accuracy
    from gatewright.one_start import MOST, run_in_starts

    first, count = chosen
    network = flow.with_limits_of(flow.load_network(name_or_path), program)
    images = network.spec.data.test_images(data, first + count).behind(first)
    unknown = why_no_accuracy(network.spec, images)
    with of_users_network(name_or_path):
        runs = list(run_in_starts(str(path), program, network, images, workers))
    cycles = [cycles for run in runs for cycles in run.cycles]
    predicted = [prediction for run in runs for prediction in run.predictions]
    if count <= MOST:
        for number in range(count):
            answer = f", class {predicted[number]}" if predicted else ""
            beside = number % program.images != 0
            when = "beside the one before" if beside else f"{cycles[number // program.images]:,} cycles"
            click.echo(f"image {first + number:<6} {when}{answer}")
    rate = count / (sum(cycles) / (program.arch.clock_mhz * 1e6))
    starts = "one start" if len(runs) == 1 else f"{len(runs)} starts of up to {MOST} images"
    click.echo(f"cycles       {sum(cycles):,} in {starts}, {rate:,.0f} images/s at {program.arch.clock_mhz} MHz")
    if program.images == 1:
        echo_spread(program, cycles, [number for run in runs for number in run.taken])
    else:
        click.echo(f"an image     {sum(cycles) / count:,.1f} cycles (mean), {program.images} in a run")
    if unknown is None:
        accuracy = images.accuracy(np.array(predicted), network.spec.classes)
        click.echo(f"top-1        {accuracy:.2f}% of {count:,} images")
    same = "results and decisions" if program.live else "results"
    click.echo(f"reference    same {same} for every image")


def echo_spread(program: Program, cycles: Sequence[int], taken: Sequence[int]) -> None:
    """Print how the cycles of images differ, and those of the images that leave at each exit.

    ``taken`` is the number of each image's exit, as ``Program.left_at``.
    """
    import numpy as np

    from gatewright.measure.exit_statistics import END
    from gatewright.measure.summary import percentiles

    found = percentiles(cycles)
    spread = ", ".join(f"p{p} {found[p]:,}" for p in (5, 50, 95))
    click.echo(f"an image     {np.mean(cycles):,.1f} cycles (mean), {spread}")
    if not program.exits:
        return
    names = [*(one.name for one in program.exits), END]
    for number, name in enumerate(names):
        those = np.array(cycles)[np.array(taken) == number]
        if len(those):
            share = f"{len(those):,} images ({100 * len(those) / len(cycles):.1f}%)"
            click.echo(f"exit         {name}: {share}, {those.mean():,.1f} cycles (mean)")
