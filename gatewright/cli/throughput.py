"""Several images on the machine at the same time: throughput."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.cli.options import arch_option, data_option, live_option

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
    from gatewright.compiler.graph.macs import counted_macs
    from gatewright.contract.arch import load_arch
    from gatewright.contract.errors import GatewrightError
    from gatewright.in_flight import InFlight, compile_group, run_groups

    if count < together:
        raise GatewrightError(f"--images {count} are fewer than --together {together}")
    arch = load_arch(arch_name)
    flow.limit_threads()
    network = flow.load_network(name_or_path)
    count -= count % together
    images = network.spec.data.test_images(data, count)
    evaluation = flow.evaluate(network, images)
    if live and not evaluation.decisions(0):
        raise GatewrightError(f"{name_or_path} has no gates: every program of it serves every image; leave out --live")
    dense = flow.dense_record(network, arch, evaluation.inputs[0]).cycles
    macs = sum(counted_macs(network.graph, evaluation.decisions(number)) for number in range(count)) / count
    promise = counted_macs(network.graph, None) / macs
    alone = [
        one.run.cycles for one in tqdm(flow.run_images(network, arch, images, evaluation, None, live), total=count)
    ]
    click.echo(f"network      {network.spec.name}, {count} images, {together} in a program, {in_flight} in flight")
    click.echo(f"program      {'live, one for all images' if live else 'compiled for the gates of these images'}")
    click.echo(
        f"{'':13}{'cycles an image':>16}{'images/s':>12}{'speedup':>10}{'kept':>8}{'latency, mean':>16}{'most':>10}"
    )

    def line(name: str, cycles: float, latencies: list[int]) -> None:
        rate, speedup = arch.clock_mhz * 1e6 / cycles, dense / cycles
        latency = f"{sum(latencies) / len(latencies):>16,.0f}{max(latencies):>10,}"
        click.echo(f"{name:13}{cycles:>16,.0f}{rate:>12,.0f}{speedup:>10.3f}{speedup / promise:>8.3f}{latency}")

    line("alone", sum(alone) / count, alone)
    how = InFlight(together, in_flight, live)
    runs = list(tqdm(run_groups(network, arch, evaluation, how), "several at a time", total=count // together))
    latencies = [cycles for run in runs for cycles in run.latencies]
    line(f"{in_flight} in flight", sum(run.cycles for run in runs) / count, latencies)
    click.echo(f"promise      {promise:.3f} by multiply-accumulates; dense, alone {dense:,} cycles")
    if out is not None:
        compile_group(network, arch, evaluation, 0, how).save(out)
        click.echo(f"program      {out}")


COMMANDS: tuple[click.Command, ...] = (throughput,)
