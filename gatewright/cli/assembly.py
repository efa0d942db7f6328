"""Commands about instructions as text: disassemble, assemble, isa."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.cli.options import expected_arch_option, load_program
from gatewright.contract.errors import GatewrightError
from gatewright.contract.whole_file import whole_file


def write_text(text: str, path: Path | None) -> None:
    """Write to a file, whole or not at all, or to standard output if there is no path."""
    if path is None:
        click.echo(text, nl=False)
        return
    with whole_file(path) as partial:
        partial.write_text(text)


@click.command(epilog="Example: gatewright disassemble build/demo/image0.safetensors -o gated.s")
@click.argument("program", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write instead of standard output.")
@expected_arch_option
def disassemble(program: Path, out: Path | None, arch_name: str | None) -> None:
    """Write the instructions of PROGRAM as text, one a line, with the layer each belongs to."""
    from gatewright.listing.assembler import disassemble as to_text

    write_text(to_text(load_program(program, arch_name)), out)


@click.command(epilog="Example: gatewright assemble gated.s --data build/demo/image0.safetensors -o edited.safetensors")
@click.argument("text", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Program whose DRAM image, regions and layers are kept.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Program file to write.")
@expected_arch_option
def assemble(text: Path, data: Path, out: Path, arch_name: str | None) -> None:
    """Make a program of the instructions in TEXT and the data of another program.

    TEXT is what `disassemble` writes. Waits and fields may be edited; the number of instructions, the
    pages and the directives must stay. LOAD with rows=0 does nothing, where one is to go.
    """
    from gatewright.listing.assembler import assemble as from_text
    from gatewright.listing.assembler import replace_code

    try:
        source = text.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise GatewrightError(f"cannot read {text}: {error}") from error
    try:
        assembly = from_text(source)
    except GatewrightError as error:
        raise GatewrightError(f"{text}: {error}") from error
    program = replace_code(load_program(data, arch_name), assembly)
    program.save(out)
    click.echo(f"{out}: {len(program.code)} instructions")


@click.command(epilog="Example: gatewright isa -o docs/isa.md")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write instead of standard output.")
@click.option("--registers", "page", flag_value="registers", help="The page of the control registers instead.")
@click.option("--formats", "page", flag_value="formats", help="The page of the file formats instead.")
@click.option("--commands", "page", flag_value="commands", help="The page of these commands instead.")
@click.option("--driver", "page", flag_value="driver", help="What the driver needs of the contract instead, as Python.")
@click.pass_context
def isa(context: click.Context, out: Path | None, page: str | None) -> None:
    """Print the instruction set's reference page (Markdown), or another page that is made from the sources."""
    from gatewright.cli.commands_page import commands_page
    from gatewright.listing.driver_registers import driver_registers
    from gatewright.listing.formats_page import formats_page
    from gatewright.listing.isa_page import isa_page
    from gatewright.listing.registers_page import registers_page

    made = {"registers": registers_page, "formats": formats_page, "driver": driver_registers, None: isa_page}
    if page == "commands":
        group = context.find_root().command
        assert isinstance(group, click.Group)
        write_text(commands_page(group), out)
    else:
        write_text(made[page](), out)


COMMANDS: tuple[click.Command, ...] = (disassemble, assemble, isa)
