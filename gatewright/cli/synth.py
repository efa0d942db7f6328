"""The command that synthesises the machine for a board's chip: synth."""

from __future__ import annotations

from pathlib import Path

import click

from gatewright.boards import load_board
from gatewright.cli.options import arch_option, board_option
from gatewright.cli.verify import verify
from gatewright.contract.arch import load_arch


@click.command(epilog="Example: gatewright synth --arch ultra96 -o build/synth")
@arch_option
@board_option
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for netlist, log and report.")
@click.option(
    "--depth",
    type=click.IntRange(0, 4),
    default=1,
    show_default=True,
    help="Levels of modules that are kept and reported; 0 flattens everything.",
)
@click.option(
    "--paths",
    type=click.IntRange(0),
    default=0,
    help="Print the worst path to so many registers and memories, the slowest first.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Run the netlist in Verilator, as gatewright verify runs the RTL: one image of its default network.",
)
@click.pass_context
def synth(ctx: click.Context, arch_name: str, board_name: str, out: Path, depth: int, paths: int, check: bool) -> None:
    """Synthesise the machine with Yosys for a board's chip: resources per module, goals, longest path.

    Exits with status 1 if a goal is missed, or if the netlist differs from the simulator in a byte or a cycle.
    """
    from gatewright.hw.synth import synthesise, table
    from gatewright.hw.synth.netlist_text import write_simulation
    from gatewright.hw.synth.paths import worst_paths
    from gatewright.hw.synth.script import CELLS
    from gatewright.hw.synth.yosys import read_output
    from gatewright.hw.top import Accelerator

    chip, arch = load_board(board_name).need_chip(), load_arch(arch_name)
    click.echo(f"synthesise {arch.name} with Yosys (minutes): {out / 'yosys.log'} grows", err=True)
    report = synthesise(Accelerator(arch), None, "gatewright", out, chip=chip, depth=depth)
    click.echo(table(report))
    if paths:
        click.echo("\nworst path to each register or memory:")
        for path in worst_paths(read_output(out / CELLS), report.name)[:paths]:
            click.echo(path.line())
    simulation = write_simulation(out, report.cells)
    if check:
        ctx.invoke(verify, arch_name=arch_name, verilog=simulation)
    if not all(goal.met for goal in report.goals()):
        ctx.exit(1)


COMMANDS: tuple[click.Command, ...] = (synth,)
