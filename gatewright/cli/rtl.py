"""Commands about the hardware itself: rtl."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.cli.options import arch_option
from gatewright.contract.arch import load_arch
from gatewright.contract.errors import GatewrightError


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


COMMANDS = (rtl,)
