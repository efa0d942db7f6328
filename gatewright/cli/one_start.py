"""Several images in one start, as ``simulate --images`` prints them."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.contract.program import Program


def simulate_in_one_start(
    path: Path, program: Program, name_or_path: str, chosen: tuple[int, int], data: Path | None
) -> None:
    """Run ``chosen`` (first, count) images of a network's set one behind the other, and print what each gives."""
    import numpy as np

    from gatewright import flow
    from gatewright.one_start import run_in_one_start

    first, count = chosen
    network = flow.load_network(name_or_path)
    images = network.spec.data.test_images(data, first + count).behind(first)
    run = run_in_one_start(str(path), program, flow.evaluate(network, images))
    for number, outputs in enumerate(run.outputs):
        cycles = run.cycles[number // run.together] if number % run.together == 0 else None
        logits = [values for values in outputs.values() if values.dtype == np.int32]
        answer = f", class {int(np.argmax(logits[-1]))}" if logits else ""
        when = "beside the one before" if cycles is None else f"{cycles:,} cycles"
        click.echo(f"image {first + number:<6} {when}{answer}")
    rate = count / (run.total / (program.arch.clock_mhz * 1e6))
    click.echo(f"cycles       {run.total:,} in one start, {rate:,.0f} images/s at {program.arch.clock_mhz} MHz")
    click.echo("reference    same results for every image")
