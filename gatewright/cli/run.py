"""A program file on several machines, compared: run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gatewright.cli.options import ImageRange, data_option, load_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from gatewright.compiler.graph.reference import Outputs
    from gatewright.contract.program import Program
    from gatewright.machines.backends import Answer

BACKEND_NAMES = ("simulator", "rtl", "pynq", "hls")


@click.command(
    epilog="Example: gatewright run live.safetensors --network dgnet-resnet20-0.4 --images 0:64 --backend rtl"
)
@click.argument("program", type=click.Path(path_type=Path))
@click.option(
    "--backend",
    "backends",
    type=click.Choice(BACKEND_NAMES),
    multiple=True,
    default=("simulator",),
    help="Machine to run on; several to compare them.",
)
@click.option("--network", "name_or_path", help="The network that PROGRAM is of, for images of its data.")
@click.option("--images", type=ImageRange(), help="With --network: which images of the set.")
@click.option("--slots", type=click.IntRange(1, 65_535), help="Images of a start; by default 16.")
@click.option("--poll", is_flag=True, help="Look at STATUS instead of waiting for the interrupt.")
@click.option("--counters", type=click.Path(path_type=Path), help="Folder for what each machine has counted.")
@data_option
@click.pass_context
def run(
    ctx: click.Context,
    program: Path,
    backends: tuple[str, ...],
    name_or_path: str | None,
    images: tuple[int, int] | None,
    slots: int | None,
    poll: bool,
    counters: Path | None,
    data: Path | None,
) -> None:
    """Run a PROGRAM file on the simulator, on the Verilated RTL, on that behind pynq's classes, or in the HLS C++.

    With --network and --images every output is compared with the integer reference; without, the program runs once on
    its own image, and the machines are compared with each other. Exit code 1 if anything differs.
    """
    from gatewright.contract.errors import GatewrightError
    from gatewright.machines.backends import Job, run_on

    loaded = load_program(program, None)
    if (name_or_path is None) != (images is None):
        raise GatewrightError("--network NAME and --images FIRST:COUNT go together")
    samples, expected, labels = None, None, None
    if name_or_path is not None and images is not None:
        samples, expected, labels = _reference(loaded, name_or_path, images, data)
    if counters is not None:
        counters.mkdir(parents=True, exist_ok=True)
    answers: dict[str, Answer] = {}
    for backend in dict.fromkeys(backends):
        file = None if counters is None else counters / f"{backend}.json"
        job = Job(program, loaded.arch, samples, slots, "poll" if poll else "interrupt", file)
        answers[backend] = run_on(backend, job)
    different = _print(loaded, answers, expected, labels)
    if different:
        ctx.exit(1)


def _reference(
    program: Program, name_or_path: str, chosen: tuple[int, int], data: Path | None
) -> tuple[npt.NDArray[np.int8], list[Outputs], npt.NDArray[np.int64] | None]:
    """The samples, what the integer reference says of each, and their labels if they are known."""
    from gatewright import flow
    from gatewright.compiler.graph.reference import run_reference
    from gatewright.compiler.quantise.quantise import quantise_input
    from gatewright.models.accuracy import why_no_accuracy

    first, count = chosen
    flow.limit_threads()
    network = flow.with_limits_of(flow.load_network(name_or_path), program)
    images = network.spec.data.test_images(data, first + count).behind(first)
    inputs = quantise_input(images.normalised(), network.graph)
    reference = run_reference(network.graph, inputs)
    labels = images.labels if why_no_accuracy(network.spec, images) is None else None
    return inputs, [reference.outputs_of(number) for number in range(len(inputs))], labels


def _print(
    program: Program,
    answers: Mapping[str, Answer],
    expected: list[Outputs] | None,
    labels: npt.NDArray[np.int64] | None,
) -> int:
    """The table; what differs in all."""
    from gatewright.driver.counters import total
    from gatewright.driver.registers import UNITS

    yardstick = expected or [one.outputs for one in next(iter(answers.values())).images]
    whom = "the reference" if expected is not None else next(iter(answers))
    click.echo(f"{len(yardstick)} images; outputs that differ from those of {whom}")
    sums = {name: total(answer.starts) for name, answer in answers.items()}
    rows = [("", *answers)]
    differing = [differences(answer, yardstick) for answer in answers.values()]
    rows.append(("different", *(f"{wrong}" for wrong in differing)))
    if labels is not None:
        rows.append(("top-1", *(f"{_top1(answer, labels):.2f}%" for answer in answers.values())))
    counted = {name: one for name, one in sums.items() if answers[name].starts}
    mhz = program.arch.clock_mhz
    lines = {
        "starts": {name: f"{len(answers[name].starts):,}" for name in counted},
        "cycles": {name: f"{one.cycles:,}" for name, one in counted.items()},
        f"images/s at {mhz} MHz": {n: f"{len(yardstick) * mhz * 1e6 / one.cycles:,.0f}" for n, one in counted.items()},
        "instructions": {name: f"{one.instructions:,}" for name, one in counted.items()},
        **{f"busy {unit}": {name: f"{one.busy[unit]:,}" for name, one in counted.items()} for unit in UNITS},
        **{f"completed {unit}": {name: f"{one.completed[unit]:,}" for name, one in counted.items()} for unit in UNITS},
        "seconds of this host": {name: f"{answer.seconds:.1f}" for name, answer in answers.items()},
    }
    rows += [(title, *(values.get(name, "-") for name in answers)) for title, values in lines.items()]
    width = max(len(row[0]) for row in rows)
    for row in rows:
        click.echo(f"{row[0]:<{width}}" + "".join(f"{cell:>16}" for cell in row[1:]))
    apart = 0
    per_start = [answers[name].starts for name in counted]
    if len(per_start) > 1:
        same = all(starts == per_start[0] for starts in per_start)
        click.echo(f"counters     {'the same in every start' if same else 'DIFFERENT'}")
        apart = int(not same)
    return sum(differing) + apart


def differences(answer: Answer, expected: list[Outputs]) -> int:
    """Outputs that are not what is expected, or not there."""
    import numpy as np

    wrong = abs(len(answer.images) - len(expected))
    for found, outputs in zip(answer.images, expected, strict=False):
        names = {*found.outputs, *outputs}
        both = {*found.outputs} & {*outputs}
        wrong += len(names) - len(both)
        wrong += sum(not np.array_equal(found.outputs[name].reshape(-1), outputs[name].reshape(-1)) for name in both)
    return wrong


def _top1(answer: Answer, labels: npt.NDArray[np.int64]) -> float:
    import numpy as np

    right = sum(int(np.argmax(one.logits)) == label for one, label in zip(answer.images, labels, strict=True))
    return float(100 * right / len(labels))


COMMANDS: tuple[click.Command, ...] = (run,)
"""Commands of this module."""
