"""Commands about boards: board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.boards import BOARDS, load_board
from gatewright.contract.errors import GatewrightError

if TYPE_CHECKING:
    from gatewright.board_export.folder import NetworkRun
    from gatewright.contract.arch import ArchConfig


@click.command(epilog="Example: gatewright board ultra96 --network dgnet-resnet20-0.4 -o build/ultra96")
@click.argument("board_name", metavar="BOARD_OR_TOML")
@click.option("--clock", "clock_mhz", type=click.IntRange(min=1), help="MHz, one of the board's; by default its last.")
@click.option("--network", "network_name", help="Also a live program of this network, with images.")
@click.option("--images", "count", type=click.IntRange(min=1), default=64, help="With --network: how many images.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
def board(board_name: str, clock_mhz: int | None, network_name: str | None, count: int, out: Path) -> None:
    """Write what a person with a board needs: IP, Vivado scripts, driver, self-test, and how to go on (README.md).

    Nobody has tried it in Vivado or on a board; docs/board.md says what was checked.
    """
    from gatewright.board_export.folder import write_board

    one = load_board(board_name)
    arch = one.arch(clock_mhz)
    network = None if network_name is None else _network(network_name, arch, count)
    files = write_board(out, one, arch, network)
    for name in files:
        click.echo(f"{out / name}")
    click.echo(f"{len(files)} files for {one.title} at {arch.clock_mhz} MHz; begin with {out / 'README.md'}")


board.help = f"{board.help}\n\nBoards: {', '.join(BOARDS)}, or a file like theirs."


def _network(name: str, arch: ArchConfig, count: int) -> NetworkRun:
    """A network's live program for the machine, the first images of its data, and the reference's answers."""
    from dataclasses import replace

    import numpy as np

    from gatewright import flow
    from gatewright.board_export.folder import NetworkRun
    from gatewright.models.accuracy import why_no_accuracy

    flow.limit_threads()
    network = flow.load_network(name)
    images = network.spec.data.test_images(None, count)
    evaluation = flow.evaluate(network, images)
    program = flow.compile_live(network, arch)
    answers = []
    for number in range(count):
        logits = [v for v in evaluation.reference.outputs_of(number).values() if v.dtype == np.int32]
        if not logits:
            raise GatewrightError(f"{name} gives no logits to compare; take a classifier")
        answers.append(logits[-1].reshape(-1))
    labels = images.labels if why_no_accuracy(network.spec, images) is None else None
    own = replace(program, image=program.with_sample(evaluation.inputs[0]))
    return NetworkRun(network.name, own, np.asarray(evaluation.inputs), np.stack(answers).astype(np.int32), labels)


COMMANDS: tuple[click.Command, ...] = (board,)
