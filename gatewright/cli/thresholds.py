"""The command thresholds: those of a program's early exits, shown, changed, or found for given shares of images."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.cli.options import Numbers, data_option, expected_arch_option, load_program
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program


@click.command(
    epilog="Example: gatewright thresholds build/live.safetensors --exit exits.0.fc --values 0.4 "
    "-o build/faster.safetensors; gatewright thresholds build/live.safetensors --network exits.safetensors "
    "--leave 0.3,0.3 -o build/tuned.safetensors"
)
@click.argument("path", metavar="PROGRAM", type=click.Path(path_type=Path))
@click.option("--exit", "exit_name", help="The exit to change; without --values and --leave all are shown.")
@click.option(
    "--values", type=Numbers(finite=False), help="With --exit: one threshold for all classes, or one for each."
)
@click.option(
    "--leave", type=Numbers(finite=True), help="With --network: the share of all images that leaves at each exit."
)
@click.option("--network", "name_or_path", help="With --leave: the network that PROGRAM is of.")
@click.option("--images", "count", type=click.IntRange(min=2), default=256, help="Of --leave, from the first on.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Program file to write.")
@data_option
@expected_arch_option
def thresholds(
    path: Path,
    exit_name: str | None,
    values: tuple[float, ...] | None,
    leave: tuple[float, ...] | None,
    name_or_path: str | None,
    count: int,
    out: Path | None,
    data: Path | None,
    arch_name: str | None,
) -> None:
    """Show the thresholds of a live program's early exits, or write the program with other ones.

    An image leaves at the first exit of which any logit reaches the threshold of its class. Only numbers in the
    program's image change: nothing is compiled. --leave takes the thresholds from images instead: at each exit the one
    for all classes at which so many of them leave.
    """
    from gatewright.contract.exits import with_thresholds

    program = load_program(path, arch_name)
    if not program.exits:
        raise GatewrightError(f"{path} has no early exits, so there are no thresholds")
    _check_asked(values, exit_name, leave, name_or_path, out)
    if values is not None and exit_name is not None:
        program = with_thresholds(program, exit_name, values[0] if len(values) == 1 else values)
    elif leave is not None and name_or_path is not None:
        program = _tuned(program, leave, name_or_path, count, data)
    _show(program)
    if out is not None:
        program.save(out)
        click.echo(f"program      {out}")


def _check_asked(
    values: tuple[float, ...] | None,
    exit_name: str | None,
    leave: tuple[float, ...] | None,
    name_or_path: str | None,
    out: Path | None,
) -> None:
    if (values is None) != (exit_name is None):
        raise click.UsageError("--values needs --exit NAME, and --exit needs --values")
    if (leave is None) != (name_or_path is None):
        raise click.UsageError("--leave needs --network NAME, and --network needs --leave")
    if values is not None and leave is not None:
        raise click.UsageError("--values and --leave exclude each other: thresholds are given, or found")
    if (values is None and leave is None) != (out is None):
        raise click.UsageError("thresholds that change need -o FILE for the new program, and nothing else does")


def _tuned(program: Program, leave: tuple[float, ...], name_or_path: str, count: int, data: Path | None) -> Program:
    from gatewright import flow
    from gatewright.exit_thresholds import tuned

    flow.limit_threads()
    network = flow.load_network(name_or_path)
    program, left = tuned(program, network, network.spec.data.test_images(data, count), leave)
    for record, images in zip(program.exits, left, strict=False):
        click.echo(f"left         {record.name}: {images} of {count} images ({100 * images / count:.1f}%)")
    click.echo(f"left         the end: {left[-1]} of {count} images ({100 * left[-1] / count:.1f}%)")
    return program


def _show(program: Program) -> None:
    from gatewright.contract.exits import thresholds_of

    for record in program.exits:
        found = thresholds_of(program, record)
        least, most = min(found), max(found)
        numbers = f"{least:.6g} for all" if least == most else f"{least:.6g} to {most:.6g} for the"
        click.echo(f"exit         {record.name}: {numbers} {len(found)} classes{', exceeded' * record.strict}")


COMMANDS: tuple[click.Command, ...] = (thresholds,)
