"""The command line: ``gatewright COMMAND``. The commands are in the modules beside this one."""

from __future__ import annotations

import errno
import os
import sys

import click

from gatewright import __version__
from gatewright.cli import (
    assembly,
    board,
    compare,
    cycles,
    explain,
    explore,
    imports,
    messages,
    networks,
    plan,
    publish,
    reports,
    rtl,
    run,
    runs,
    shifting,
    synth,
    thresholds,
    throughput,
    training,
    verify,
)
from gatewright.contract.errors import GatewrightError

USAGE_ERROR = 2


class _Group(click.Group):
    """A group whose commands report a ``GatewrightError``, or what the system refuses, in one line.

    Other exceptions keep their traceback. A pipe that nobody reads any more is Click's to end quietly.
    """

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except GatewrightError as error:
            message = str(error)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            reason = error.strerror or str(error) or type(error).__name__
            message = reason if error.filename is None else f"{os.fsdecode(error.filename)}: {reason}"
        click.echo(f"gatewright: error: {message}", err=True)
        ctx.exit(USAGE_ERROR)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="gatewright")
def main() -> None:
    """Hardware/software co-design for convolutional networks whose gates decide per image what to skip.

    Every command explains itself: gatewright COMMAND --help.
    """
    if sys.stderr.isatty():
        messages.show()


for _module in (
    runs,
    run,
    reports,
    training,
    shifting,
    cycles,
    imports,
    networks,
    plan,
    assembly,
    publish,
    rtl,
    board,
    compare,
    explain,
    synth,
    explore,
    thresholds,
    throughput,
    verify,
):
    for _command in _module.COMMANDS:
        main.add_command(_command)
