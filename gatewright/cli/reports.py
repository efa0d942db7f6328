"""Commands that run many images and write the report: report, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.cli.options import arch_option, data_option, live_option
from gatewright.cli.throughput import echo_sharing

if TYPE_CHECKING:
    from gatewright import flow
    from gatewright.measure.sharing import SharingRow

DEMO_NETWORK = "dgnet-resnet20-alive"

IN_ONE_START = 8
"""Images that a report of a live program runs in one start, too."""


@click.command(epilog="Example: gatewright report dgnet-resnet20-0.4 --images 64 --out build/report")
@click.argument("name_or_path")
@click.option("--images", "count", type=click.IntRange(min=1), default=256, help="Images, from the first on.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for report.json and report.html.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one for each core.")
@click.option("--together", type=click.IntRange(min=2), help="Also run so many images in a program, two at a time.")
@click.option(
    "--explain", "explained", type=click.IntRange(min=1), help="Also explain it, with the first so many images."
)
@live_option
@data_option
@arch_option
def report(
    name_or_path: str,
    count: int,
    out: Path,
    workers: int | None,
    together: int | None,
    explained: int | None,
    live: bool,
    data: Path | None,
    arch_name: str,
) -> None:
    """Run many images on the simulator and report speedups, and where the rest of them went."""
    _report(name_or_path, data, count, out, workers, arch_name, live, together, explained)


@click.command(epilog="Example: gatewright demo --out build/demo")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/demo"), help="Folder for the report.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one for each core.")
@arch_option
def demo(out: Path, workers: int | None, arch_name: str) -> None:
    """The main job on what ships with the package: a trained DGNet, the packaged CIFAR-10 images, the report.

    Also writes the program and the timeline of the first image.
    """
    from gatewright import flow
    from gatewright.compiler.compile import Compiler
    from gatewright.contract.arch import load_arch
    from gatewright.report.timeline import write_timeline
    from gatewright.sim.fast.machine import simulate as run

    network, evaluation = _report(DEMO_NETWORK, None, None, out, workers, arch_name)
    arch = load_arch(arch_name)
    program = Compiler(network.graph, arch).compile(evaluation.decisions(0), evaluation.inputs[0])
    program.save(out / "image0.safetensors")
    flow.compile_dense(network, arch, evaluation.inputs[0]).save(out / "dense.safetensors")
    write_timeline(program, run(program), out / "image0.trace.json")
    click.echo(f"program    {out / 'image0.safetensors'} (gatewright disassemble shows it)")
    click.echo(f"timeline   {out / 'image0.trace.json'} (open it at ui.perfetto.dev)")


def _report(
    name_or_path: str,
    data: Path | None,
    count: int | None,
    out: Path,
    workers: int | None,
    arch_name: str,
    live: bool = False,
    together: int | None = None,
    explained: int | None = None,
) -> tuple[flow.Network, flow.Evaluation]:
    from tqdm import tqdm

    from gatewright import flow
    from gatewright.contract.arch import load_arch
    from gatewright.in_flight import InFlight, sharing_rows
    from gatewright.measure.summary import build_report
    from gatewright.models.accuracy import why_no_accuracy
    from gatewright.report.write import write_report

    arch = load_arch(arch_name)
    flow.limit_threads()
    click.echo(f"capture and quantise {name_or_path}", err=True)
    network = flow.load_network(name_or_path)
    images = network.spec.data.test_images(data, count)
    unknown = why_no_accuracy(network.spec, images)
    if unknown is None:
        images.check_labels(network.spec.classes)
    how = None if together is None else InFlight(together, live=live)
    if how is not None:
        how.refuse_fewer(len(images))
    click.echo(f"evaluate {len(images)} images in float and in integers", err=True)
    evaluation = flow.evaluate(network, images)
    dense = flow.dense_record(network, arch, evaluation.inputs[0])
    runs = flow.run_images(network, arch, images, evaluation, workers, live)
    records = list(tqdm(runs, "compile and simulate", total=len(images), unit="image"))
    one_start = None
    if live:
        from gatewright.one_start import run_in_one_start

        program = flow.compile_live(network, arch)
        one_start = run_in_one_start(network.name, program, evaluation, min(len(images), IN_ONE_START))
    about = {
        "name": network.name,
        "checkpoint": network.path.name,
        "target_density": network.spec.target_density,
        "program": "one for all images" if live else "one for each image",
    }
    if unknown is not None:
        about["no_accuracy"] = unknown
    sharing: list[SharingRow] = []
    if how is not None:
        alone = [record.run.cycles for record in records]
        sharing = sharing_rows(network, arch, evaluation, alone, dense.cycles, how)
    explanation = None
    if explained is not None:
        from gatewright.explain.explain import explain

        explanation = explain(network, arch, network.spec.data.test_images(data, explained), live, workers=workers)
    names, flips = images.source.classes, evaluation.flips.gates
    contents = build_report(arch, about, dense, records, flips, sharing, explanation, names)
    paths = write_report(contents, out)
    summary = contents["summary"]
    click.echo(f"network    {network.name}")
    click.echo(f"images     {summary['images']}, each checked against the integer reference")
    accuracy = unknown or f"{100 * summary['top1_float']:.2f}% float, {100 * summary['top1_int8']:.2f}% int8"
    click.echo(f"top-1      {'none: ' if unknown else ''}{accuracy}")
    click.echo(f"cycles     {summary['cycles_dense']:,} dense, {summary['cycles_gated_mean']:,.0f} gated (mean)")
    spread = ", ".join(f"p{p} {summary[f'cycles_gated_p{p}']:,}" for p in (5, 50, 95))
    click.echo(f"spread     {spread} cycles")
    if live:
        click.echo(
            f"live       one program for all images; compiled for each {summary['cycles_replay_mean']:,.0f} (mean)"
        )
    if one_start is not None:
        count = len(one_start.cycles)
        click.echo(f"one start  the first {count} images back to back: {one_start.total:,} cycles, each as alone")
    click.echo(
        f"speedup    {summary['speedup_realised_mean']:.3f} realised, "
        f"{summary['speedup_theoretical_mean']:.3f} theoretical (means)"
    )
    echo_sharing(sharing)
    for row in contents["exits"]:
        click.echo(f"exit       {row['name']}: {row['images']} images, {row['cycles_mean']:,.0f} cycles (mean)")
    click.echo(f"report     {paths[0]}, {paths[1]}")
    return network, evaluation


COMMANDS: tuple[click.Command, ...] = (report, demo)
