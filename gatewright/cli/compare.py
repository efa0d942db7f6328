"""Two of a kind side by side, or counters beside the program that they are of: compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@click.command(epilog="Example: gatewright compare build/report build/small-report --out build/compared")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Of reports: folder for comparison.json and .html.")
@click.option("--inputs", type=click.Path(path_type=Path), help="Of counters: their images; .npy, int8 [n, ...].")
@click.option(
    "--fit", type=click.Path(path_type=Path), help="Of counters: write an arch file with the DRAM that fits them."
)
@click.pass_context
def compare(ctx: click.Context, a: Path, b: Path, out: Path | None, inputs: Path | None, fit: Path | None) -> None:
    """Compare two reports A and B, or a board's counters A with the program B that it ran.

    Reports (report.json, or the folder that holds it): what is different about machine, network and program, and what
    that does to the cycles of each cause, layer and image.

    Counters (JSON, written by the driver) and a program (.safetensors): where they leave the simulator's. If all units
    did the same work in other cycles, a DRAM of the model's kind is fitted to them: latency and rate. Exits with 1 if
    the counters differ.
    """
    kinds = _kind(a), _kind(b)
    if kinds == ("report", "report"):
        if inputs is not None or fit is not None:
            raise GatewrightError("--inputs and --fit are of counters, and these are reports")
        _reports(a, b, out)
    elif kinds == ("counters", "program"):
        if out is not None:
            raise GatewrightError("--out is of reports, and these are counters and a program")
        _counters(ctx, a, b, inputs, fit)
    else:
        raise GatewrightError(
            f"{a} is {_ARTICLE[kinds[0]]}, {b} is {_ARTICLE[kinds[1]]}; give two reports, or counters and a program"
        )


_ARTICLE = {
    "report": "a report",
    "counters": "counters",
    "program": "a program",
    "other": "neither report nor counters nor program",
}


def _kind(path: Path) -> str:
    """What a file is, by its format."""
    from gatewright.contract.formats import COUNTERS, REPORT
    from gatewright.contract.schema import format_of
    from gatewright.measure.comparison import report_file

    file = report_file(path)
    if not file.is_file():
        raise GatewrightError(f"there is no file {file}")
    if file.suffix == ".safetensors":
        return "program"
    try:
        data = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return "other"
    said = str(format_of(data))
    return next((one.kind for one in (COUNTERS, REPORT) if said.startswith(f"gatewright-{one.kind}-")), "other")


def _reports(a: Path, b: Path, out: Path | None) -> None:
    from gatewright.measure.comparison import compare_reports, read_report
    from gatewright.report.comparison import comparison_text
    from gatewright.report.write import write_comparison

    found = compare_reports(read_report(a), read_report(b), _names(a, b))
    click.echo(comparison_text(found))
    if out is not None:
        paths = write_comparison(found, out)
        click.echo(f"comparison {paths[0]}, {paths[1]}")


def _names(a: Path, b: Path) -> tuple[str, str]:
    """The shortest ends of the paths that tell them apart."""
    left, right = ([part for part in path.parts if part != "report.json"] for path in (a, b))
    for count in range(1, max(len(left), len(right)) + 1):
        names = "/".join(left[-count:]), "/".join(right[-count:])
        if names[0] != names[1]:
            return names
    return str(a), str(b)


def _samples(inputs: Path) -> npt.NDArray[np.int8]:
    """[n, ...], of a file that numpy.save wrote."""
    from gatewright.driver.errors import WrongInputError
    from gatewright.driver.inputs import read_inputs

    try:
        found: npt.NDArray[np.int8] = read_inputs(inputs)
    except WrongInputError as error:
        raise GatewrightError(f"--inputs: {error}") from error
    return found


def _counters(ctx: click.Context, counters: Path, program: Path, inputs: Path | None, fit: Path | None) -> None:
    from dataclasses import replace

    from gatewright.bringup.arch_file import arch_toml
    from gatewright.bringup.compare import compare as compare_counters
    from gatewright.bringup.compare import report
    from gatewright.bringup.counters import Expected, read_counters
    from gatewright.cli.options import load_program

    file, loaded = read_counters(counters), load_program(program, None)
    samples = None if inputs is None else _samples(inputs)
    found = compare_counters(loaded, file, Expected(loaded, [one.images for one in file.starts], samples))
    click.echo(report(found))
    if fit is not None:
        if found.fit is None:
            raise GatewrightError(f"there is nothing to fit, and {fit} is not written")
        arch = replace(loaded.arch, dram=found.fit.dram)
        fit.write_text(arch_toml(arch, f"The machine of {program.name}, its DRAM fitted to {counters.name}."))
        click.echo(f"{fit}: the machine with that DRAM")
    if not found.same:
        ctx.exit(1)


COMMANDS: tuple[click.Command, ...] = (compare,)
