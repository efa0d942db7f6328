"""The command that brings networks of other tools in: import."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from gatewright.cli.options import ImageSize, Numbers, Resizing


@click.command("import", epilog="Example: gatewright import net.onnx -o net.pt2")
@click.argument("source", metavar="FILE.onnx", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Exported program to write, FILE.pt2."
)
@click.option(
    "--size", type=ImageSize(), help="Of the images, where the file leaves it open: 224, or 480x640 (rows x columns)."
)
@click.option(
    "--output", "outputs", multiple=True, help="Tensor to return in place of the file's results; may be repeated."
)
@click.option(
    "--symmetric", is_flag=True, help="Of a quantised file: hold ranges with other zero points in symmetric ones."
)
@click.option(
    "--float", "as_float", is_flag=True, help="Of a quantised file: drop its scales; calibrate measures ranges."
)
@click.option(
    "--mean", type=Numbers(finite=True), help="Of a quantised file's pixels (0 to 1), per channel; by default 0."
)
@click.option(
    "--std", type=Numbers(finite=True), help="Of a quantised file's pixels (0 to 1), per channel; by default 1."
)
@click.option(
    "--resize", type=Resizing(), help="Of photographs for a quantised file, as of calibrate; by default cover."
)
@click.option(
    "--bgr", is_flag=True, help="The file takes images from blue to red; the program takes them from red to blue."
)
def import_network(
    source: Path,
    out: Path,
    size: tuple[int, int] | None,
    outputs: tuple[str, ...],
    symmetric: bool,
    as_float: bool,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    resize: Literal["cover", "stretch"] | int | None,
    bgr: bool,
) -> None:
    """Write the network of an ONNX file as an exported program, if the machine has all its layers.

    FILE.pt2 is a network's name for all other commands; calibrate comes first, but for a quantised file (QDQ), which
    has its ranges.
    """
    from gatewright.onnx_import import import_onnx

    of_images = mean or (0.0,), std or (1.0,), resize or "cover"
    made = import_onnx(source, out, size, outputs, symmetric, as_float, *of_images, bgr)
    taken = made.converted
    click.echo(f"program    {made.path}: {made.layers} layers, images of {'x'.join(map(str, taken.shape))}")
    click.echo(f"checked    {taken.difference:.3g} from onnx.reference at most, of results up to {taken.largest:.4g}")
    for note in taken.notes:
        click.echo(f"note       {note}")
    given = made.given
    if given is None or made.weights is None:
        return
    click.echo(f"weights    {made.weights[0]} of {made.weights[1]} layers keep the file's integers")
    click.echo(
        f"maps       {len(given.kept)} of "
        f"{len(given.kept) + len(given.shared) + len(given.coarser)} keep the file's scale; "
        f"{len(given.shared)} share a larger one of their stream, {len(given.coarser)} have 127 steps of 255"
    )
    if taken.coarser:
        click.echo(
            f"           {len(taken.coarser)} more had a zero point, and have a symmetric range that holds theirs"
        )
    if given.missing:
        click.echo(
            f"missing    {len(given.missing)} maps have no scale in the file "
            f"({', '.join(given.missing[:3])}); measure them: "
            f"gatewright calibrate {made.path} --images FOLDER"
        )


COMMANDS: tuple[click.Command, ...] = (import_network,)
"""The commands of this module."""
