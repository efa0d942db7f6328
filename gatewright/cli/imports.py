"""The command that brings networks of other tools in: import."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.cli.options import ImageSize


@click.command("import", epilog="Example: gatewright import net.onnx -o net.pt2")
@click.argument("source", metavar="FILE.onnx", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Exported program to write, FILE.pt2.")
@click.option("--size", type=ImageSize(), help="Of the images, where the file leaves it open: 224, or 480x640 (rows x columns).")
@click.option("--output", "outputs", multiple=True, help="Tensor to return in place of the file's results; may be repeated.")
@click.option("--symmetric", is_flag=True, help="Of a quantised file: hold ranges with other zero points in symmetric ones.")
@click.option("--float", "as_float", is_flag=True, help="Of a quantised file: drop its scales; calibrate measures ranges.")
def import_network(
    source: Path, out: Path, size: tuple[int, int] | None, outputs: tuple[str, ...], symmetric: bool, as_float: bool
) -> None:
    """Write the network of an ONNX file as an exported program, if the machine has all its layers.

    FILE.pt2 is a network's name for all other commands; calibrate comes first.
    """
    from gatewright.onnx_import import import_onnx

    made = import_onnx(source, out, size, outputs, symmetric, as_float)
    taken = made.converted
    click.echo(f"program    {made.path}: {made.layers} layers, images of {'x'.join(map(str, taken.shape))}")
    click.echo(f"checked    {taken.difference:.3g} from onnx.reference at most, of results up to {taken.largest:.4g}")
    for note in taken.notes:
        click.echo(f"note       {note}")


COMMANDS: tuple[click.Command, ...] = (import_network,)
"""The commands of this module."""
