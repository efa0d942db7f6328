"""Commands about the machine: calibrate, compile, simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from gatewright.cli.one_start import simulate_in_starts
from gatewright.cli.options import (
    ImageRange,
    Numbers,
    Resizing,
    arch_option,
    data_option,
    expected_arch_option,
    live_option,
    load_program,
    refuse_both,
)

ALL_LOGITS, LARGEST = 100, 5
"""So many logits are printed at most, and of more of them only the largest."""


@click.command(
    epilog="Example: gatewright calibrate runs/dgnet-0.4/model.safetensors --data cifar-10-python.tar.gz; "
    "gatewright calibrate own.pt2 --images photographs --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
)
@click.argument("checkpoint", metavar="CHECKPOINT_OR_PT2", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "--images",
    "data",
    type=click.Path(path_type=Path),
    required=True,
    help="The network's data set, as downloaded or unpacked; a folder of photographs or .npy images.",
)
@click.option(
    "--mean", type=Numbers(finite=True), help="Of an exported program's pixels (0 to 1), per channel; by default 0."
)
@click.option(
    "--std", type=Numbers(finite=True), help="Of an exported program's pixels (0 to 1), per channel; by default 1."
)
@click.option(
    "--resize",
    type=Resizing(),
    help="Of photographs for an exported program: pixels of the shorter edge before its size is cut out of the middle; "
    "cover (the least that will do, the default); stretch.",
)
def calibrate(
    checkpoint: Path,
    data: Path,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    resize: Literal["cover", "stretch"] | int | None,
) -> None:
    """Measure a network's activation ranges on up to 512 training images and write them beside it.

    An exported program (torch.export.save, FILE.pt2) sees (pixel / 255 - mean) / std; both are kept with the ranges,
    and so is --resize.
    """
    from gatewright.compiler.frontend.exported import SUFFIX
    from gatewright.flow import CALIBRATION_IMAGES, write_ranges
    from gatewright.models.checkpoints.checkpoint import load_network
    from gatewright.own_network import calibrate_own, calibration_path

    if checkpoint.suffix == SUFFIX:
        made = calibrate_own(checkpoint, data, CALIBRATION_IMAGES, mean or (0.0,), std or (1.0,), resize or "cover")
        click.echo(
            f"images     {made.images}, (pixel / 255 - mean) / std: mean {_text(made.mean)}, std {_text(made.std)}"
        )
        click.echo(f"ranges     {calibration_path(checkpoint)}: {len(made.ranges)} tensors")
        return
    if mean is not None or std is not None or resize is not None:
        raise click.UsageError(
            "--mean, --std and --resize are of an exported program (.pt2); a checkpoint's family has its own"
        )
    _, spec = load_network(checkpoint)
    click.echo(f"{write_ranges(checkpoint, spec.data.load(data, 'train', CALIBRATION_IMAGES))}")


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


@click.command("compile", epilog="Example: gatewright compile dgnet-resnet20-0.4 --image 3 -o build/image3.safetensors")
@click.argument("name_or_path")
@click.option("--image", "position", type=click.IntRange(min=0), default=0, help="Position of the image in the set.")
@click.option("--dense", is_flag=True, help="Compile the network without its gates.")
@live_option
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Program file to write.")
@data_option
@arch_option
def compile_program(
    name_or_path: str, position: int, dense: bool, live: bool, out: Path, data: Path | None, arch_name: str
) -> None:
    """Compile a network of the zoo, a checkpoint or a .pt2 for one image: instructions, index tables, data.

    With --live for every image: the machine decides the gates, and the image is simulate's.
    """
    from gatewright import flow
    from gatewright.compiler.compile import Compiler
    from gatewright.contract.arch import load_arch

    arch = load_arch(arch_name)
    refuse_both(live, dense)
    network = flow.load_network(name_or_path)
    if live:
        program = flow.compile_live(network, arch)
    else:
        evaluation = flow.evaluate(network, network.spec.data.test_image(data, position))
        if dense:
            program = flow.compile_dense(network, arch, evaluation.inputs[0])
        else:
            program = Compiler(network.graph, arch).compile(evaluation.decisions(0), evaluation.inputs[0])
    program.save(out)
    click.echo(
        f"{out}: {len(program.code)} instructions, {len(program.image):,} bytes of DRAM, "
        f"{'at most ' if program.live else ''}{sum(program.macs.values()):,} multiply-accumulates"
    )


@click.command(epilog="Example: gatewright simulate build/image3.safetensors --timeline build/image3.trace.json")
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--timeline", type=click.Path(path_type=Path), help="Write a timeline that opens in Perfetto.")
@click.option("--audit", is_flag=True, help="Also prove that no two units race for a memory location.")
@click.option("--stepped", is_flag=True, help="Also run the stepped model, and compare cycle by cycle (slow).")
@click.option("--network", "name_or_path", help="The network that PROGRAM is of, for an image of its data.")
@click.option("--image", "position", type=click.IntRange(min=0), help="With --network: its position in the set.")
@click.option("--images", "in_one_start", type=ImageRange(), help="With --network: several images in one start.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes for many images; by default one for each core.")
@data_option
@expected_arch_option
def simulate(
    program: Path,
    timeline: Path | None,
    audit: bool,
    stepped: bool,
    name_or_path: str | None,
    position: int | None,
    in_one_start: tuple[int, int] | None,
    workers: int | None,
    data: Path | None,
    arch_name: str | None,
) -> None:
    """Run PROGRAM on the cycle simulator and print cycles, utilisation and logits.

    A program that was compiled for an image has it. A live one takes any: --network and --image say which, and
    results and gates are checked against the integer reference. --images 4:8 runs eight, from number 4 on, one behind
    the other without the host; more than 64 in several starts, in parallel.
    """
    import numpy as np

    from gatewright import flow
    from gatewright.agreement import check_run, of_users_network
    from gatewright.compiler.graph.macs import counted_macs
    from gatewright.contract.errors import GatewrightError
    from gatewright.measure.traffic import dram_traffic
    from gatewright.report.timeline import write_timeline
    from gatewright.sim.fast.machine import simulate as run

    loaded = load_program(program, arch_name)
    if in_one_start is not None:
        if name_or_path is None or position is not None or audit or stepped or timeline is not None:
            raise GatewrightError("--images needs --network NAME, and excludes --image, --audit, --stepped, --timeline")
        simulate_in_starts(program, loaded, name_or_path, in_one_start, data, workers)
        return
    if (name_or_path is None) != (position is None) or (loaded.live and position is None):
        raise GatewrightError(
            f"{program}: {'a live program needs an image: give' if position is None else 'an image needs'} --network "
            "NAME and --image POSITION"
        )
    evaluation, sample, useful = None, None, sum(loaded.macs.values())
    if name_or_path is not None and position is not None:
        network = flow.with_limits_of(flow.load_network(name_or_path), loaded)
        evaluation = flow.evaluate(network, network.spec.data.test_image(data, position))
        sample, useful = evaluation.inputs[0], counted_macs(network.graph, evaluation.decisions(0))
    result = run(loaded, sample, observe=True, audit=audit)  # observing checks that gates decide as compiled for
    if evaluation is not None:
        with of_users_network(str(name_or_path)):
            check_run(str(program), result, evaluation.reference.outputs_of(0), evaluation.decisions(0))
    milliseconds = result.cycles / loaded.arch.clock_mhz / 1000
    click.echo(f"cycles       {result.cycles:,} ({milliseconds:.3f} ms at {loaded.arch.clock_mhz} MHz)")
    click.echo(
        f"utilisation  {useful / (result.cycles * loaded.arch.peak_macs):.4f} of {loaded.arch.peak_macs} MACs/cycle"
    )
    traffic = dram_traffic(loaded, result)
    click.echo(f"DRAM         {traffic.read:,} bytes read, {traffic.written:,} written")
    if evaluation is not None:
        click.echo("reference    same results, same decisions")
    click.echo(f"instructions {len(result.trace.records):,} executed")
    number = loaded.left_at(result.dram)
    passed = [one.output for one in loaded.exits[:number]]
    if loaded.exits:
        click.echo(f"exit         {loaded.exits[number].name if number < len(loaded.exits) else 'the end'}")
    for output in (one for one in loaded.written(result.dram) if one.name not in passed):
        if output.kind == "logits":
            logits = result.outputs[output.name].reshape(-1)
            if len(logits) <= ALL_LOGITS:
                click.echo(f"logits       {' '.join(map(str, logits))}")
            else:
                largest = ", ".join(f"{n}: {logits[n]}" for n in np.argsort(-logits, kind="stable")[:LARGEST])
                click.echo(f"logits       {len(logits):,}, the largest {largest}")
            click.echo(f"class        {int(np.argmax(logits))}")
        else:
            shape = f"{output.height}x{output.width}x{output.channels}"
            click.echo(f"map          {output.name}: {shape} int8, unit {output.scale:.6g}")
    if audit:
        click.echo("audit        no races")
    if timeline is not None:
        write_timeline(loaded, result, timeline)
        click.echo(f"timeline     {timeline}")
    if stepped:
        from gatewright.contract.trace import first_difference
        from gatewright.sim.stepped.machine import step_simulate

        other = step_simulate(loaded, sample)
        difference = first_difference(result.trace, other.trace)
        if difference is not None:
            raise GatewrightError(f"{program}: the stepped model differs: {difference}")
        if not np.array_equal(result.dram, other.dram):
            raise GatewrightError(f"{program}: the stepped model leaves other bytes in DRAM")
        click.echo("stepped      same cycles for every instruction, same bytes")


COMMANDS: tuple[click.Command, ...] = (calibrate, compile_program, simulate)
