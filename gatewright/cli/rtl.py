"""Commands about the hardware itself: rtl, hls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.cli.options import ImageRange, arch_option, data_option, load_program
from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.contract.program import Program
    from gatewright.hw.hls.csim import Job


@click.command(epilog="Example: gatewright rtl --arch ultra96 -o build/rtl")
@arch_option
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
def rtl(arch_name: str, out: Path) -> None:
    """Write the machine as Verilog, with a register header, lint waivers and a manifest."""
    from gatewright.hw.verilog.generate import generate

    arch = load_arch(arch_name)
    try:
        paths = generate(arch).write(out)
    except OSError as error:
        raise GatewrightError(f"cannot write to {out}: {error.strerror}") from error
    for path in paths:
        click.echo(f"{path}: {len(path.read_text().splitlines()):,} lines")


@click.command(
    epilog="Example: gatewright hls --arch ultra96 -o build/hls; gatewright hls -o build/hls --program "
    "build/live.safetensors --network dgnet-resnet20-0.4 --images 0:4"
)
@click.option(
    "--arch",
    "arch_name",
    metavar="PRESET_OR_TOML",
    help="Machine: a preset's name or a TOML file; by default PROGRAM's, or ultra96.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--program", "path", type=click.Path(path_type=Path), help="Also write job/: a program for make csim.")
@click.option("--network", "name_or_path", help="The network that PROGRAM is of, for images of its data.")
@click.option("--images", "chosen", type=ImageRange(), help="With --network: images of its set, in one start.")
@data_option
def hls(
    arch_name: str | None,
    out: Path,
    path: Path | None,
    name_or_path: str | None,
    chosen: tuple[int, int] | None,
    data: Path | None,
) -> None:
    """Write the machine as C++ for Vitis HLS, which executes the same program files.

    For C simulation: make csim in the folder, with g++ and the open headers of ap_int. It was not synthesised, and its
    cycles are the RTL's. With --program that is what it runs, and compares with what the simulator leaves in DRAM and
    scratchpad.
    """
    from gatewright.hw.hls.csim import write_job
    from gatewright.hw.hls.generate import write
    from gatewright.sim.fast.machine import simulate, simulate_images

    if (name_or_path is None) != (chosen is None) or (chosen is not None and path is None):
        raise GatewrightError("--network NAME and --images FIRST:COUNT belong together, and to --program")
    program = None if path is None else load_program(path, arch_name)
    arch = load_arch(arch_name or "ultra96") if program is None else program.arch
    job = None if path is None or program is None else _job(path, program, name_or_path, chosen, data)
    folder = out / "job"
    try:
        for written in write(arch, out):
            click.echo(f"{written}: {len(written.read_text().splitlines()):,} lines")
        if job is None:
            return
        alone = chosen is None
        expected = simulate(job.program) if alone else simulate_images(job.program, job.dram, job.images)
        write_job(job, folder)
        expected.dram.tofile(folder / "dram.expected")
        expected.scratchpad.tofile(folder / "scratchpad.expected")
    except OSError as error:
        raise GatewrightError(f"cannot write to {out}: {error.strerror}") from error
    click.echo(f"{folder}: {path}, {job.images.count} {'image' if job.images.count == 1 else 'images'}")


def _job(
    path: Path, program: Program, name_or_path: str | None, chosen: tuple[int, int] | None, data: Path | None
) -> Job:
    """The program with the image that it was compiled for, or with some of a network's set."""
    from gatewright import flow
    from gatewright.compiler.quantise.quantise import quantise_input
    from gatewright.contract.images import lay_out
    from gatewright.hw.hls.csim import Job

    if name_or_path is None or chosen is None:
        if program.live:
            raise GatewrightError(f"{path}: a live program needs images: give --network NAME and --images FIRST:COUNT")
        return Job(program, program.image)
    network, (first, count) = flow.load_network(name_or_path), chosen
    images = network.spec.data.test_images(data, first + count).behind(first)
    return Job(program, *lay_out(program, list(quantise_input(images.normalised(), network.graph))))


COMMANDS = (rtl, hls)
