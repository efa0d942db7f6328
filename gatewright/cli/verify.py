"""Commands about the RTL: verify."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from gatewright.cli.one_start import echo_spread
from gatewright.cli.options import arch_option, data_option, live_option, refuse_both
from gatewright.cli.verify_coverage import count_agreed, covered
from gatewright.verify.kit.kinds import KINDS

if TYPE_CHECKING:
    from gatewright.contract.arch import ArchConfig
    from gatewright.contract.program import Program
    from gatewright.one_start import OneStart
    from gatewright.verify.expectations import Expectation
    from gatewright.verify.lockstep import Verified

DEFAULT_NETWORK = "dgnet-resnet20-0.4"

WRITES_UP_TO = 4
"""Images for which single writes are compared unless asked otherwise: the stepped simulator takes seconds for each."""

OF_RANDOM = ("programs", "kinds", "seed", "stall_seed", "verilog", "arch_name", "coverage_path")
"""Options that random programs have a use for."""

BATCH = 4
"""Images in one process of the simulator."""


@click.command(epilog="Example: gatewright verify dgnet-resnet20-0.4 --images 4")
@click.argument("name_or_path", default=DEFAULT_NETWORK)
@click.option("--images", "count", type=click.IntRange(min=1), default=1, help="Images, from the first on.")
@click.option("--dense", is_flag=True, help="Compile the network without its gates.")
@live_option
@click.option("--one-start", is_flag=True, help="With --live: all images in one start, back to back.")
@click.option("--together", type=click.IntRange(min=2), help="With --one-start: so many in a program, two at a time.")
@click.option(
    "--writes/--no-writes",
    default=None,
    show_default=f"for up to {WRITES_UP_TO} images",
    help="Compare the address and bytes of every single write, too.",
)
@click.option(
    "--stall-seed",
    type=click.IntRange(min=1),
    help="Let the memory stall at random: order and bytes are compared, cycles are not.",
)
@click.option(
    "--waves",
    type=click.Path(path_type=Path),
    default=Path("build/verify/difference.vcd"),
    help="File for a window of waveforms around the first difference.",
)
@click.option("--no-waves", is_flag=True, help="Do not run again for waveforms.")
@click.option("--verilog", type=click.Path(path_type=Path), help="Verify this Verilog instead of the generated one.")
@click.option(
    "--random", "programs", type=click.IntRange(min=1), help="In place of a network: random programs of each kind."
)
@click.option(
    "--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="With --random: only programs of this kind."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="With --random: the first program's seed.")
@click.option(
    "--coverage",
    "coverage_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for what the programs reach, which is shown as well; one that is there is added to.",
)
@data_option
@arch_option
@click.pass_context
def verify(
    ctx: click.Context,
    name_or_path: str,
    count: int,
    dense: bool,
    live: bool,
    one_start: bool,
    together: int | None,
    writes: bool | None,
    stall_seed: int | None,
    waves: Path,
    no_waves: bool,
    verilog: Path | None,
    programs: int | None,
    kinds: tuple[str, ...],
    seed: int,
    coverage_path: Path | None,
    data: Path | None,
    arch_name: str,
) -> None:
    """Run the RTL in Verilator in lockstep with the simulator, on a network of the zoo, a checkpoint or a .pt2.

    Every instruction's dispatch, start, run and completion must come in the simulator's cycle; memories, logits and
    registers must end alike. At the first difference both sides are shown, and the exit code is 1.

    With --one-start the machine is started once. The results and gates of each image are also checked against the
    integer reference, and the cycles are shown by early exit.

    With --random no network is run, but random programs: chains of layers, corners, several images, DRAM traffic, and
    illegal ones, which the RTL must refuse.

    With --coverage the programs that agree are counted: opcodes by what they waited for, by tiles and lists that end
    inside, with a steady memory and with one that stalls.
    """
    from gatewright.contract.arch import load_arch
    from gatewright.contract.errors import GatewrightError
    from gatewright.verify import design, lockstep
    from gatewright.verify.expectations import expect

    arch = load_arch(arch_name)
    own = None if verilog is None else _text(verilog)
    refuse_both(live, dense)
    if one_start and not live:
        raise GatewrightError("--one-start needs a program that serves every image: add --live")
    if together is not None and (not one_start or count < together):
        raise GatewrightError(f"--together {together} needs --one-start, and as many --images")
    _refuse_what_has_no_use(ctx, programs is not None)
    if programs is not None:
        from gatewright.cli.verify_random import verify_random

        seeds = range(seed, seed + programs)
        named = f" --arch {arch_name}" + (f" --verilog {verilog}" if verilog else "")
        chosen = kinds or KINDS
        with covered(coverage_path, arch, chosen, seeds, stall_seed) as coverage:
            agree = verify_random(arch, own, chosen, seeds, stall_seed or 0, named, coverage)
        if not agree:
            ctx.exit(1)
        return
    text = design.machine_verilog(arch) if own is None else own
    called = name_or_path + " dense" * dense + " live" * live + " in one start" * one_start
    compare_writes = count <= WRITES_UP_TO if writes is None else writes
    results: list[Verified] = []
    building = 0.0
    if one_start:
        start, expectation = _in_one_start(name_or_path, arch, count, together, data, compare_writes)
        bench = lockstep.Bench(text, arch, lockstep.capacity_for([expectation]), stall=stall_seed or 0)
        building = bench.build().seconds
        with covered(coverage_path, arch, [called], range(1), stall_seed) as coverage:
            results = lockstep.verify(bench, [expectation], waves=None if no_waves else waves)
            count_agreed(coverage, called, [expectation], results, stall_seed)
        _print(results, building, compare_writes, stall_seed, count)
        if results[-1].difference is not None:
            ctx.exit(1)
        if together is None:
            echo_spread(expectation.program, start.cycles, start.taken)
        return
    compiled = _programs(name_or_path, arch, count, dense, live, data)
    with covered(coverage_path, arch, [called], range(count), stall_seed) as coverage:
        for first in range(0, len(compiled), BATCH):
            begin = time.perf_counter()
            expectations = [expect(program, writes=compare_writes) for program in compiled[first : first + BATCH]]
            simulated = time.perf_counter() - begin
            capacity = lockstep.capacity_for(expectations)
            bench = lockstep.Bench(text, arch, capacity, stall=stall_seed or 0)
            building += bench.build().seconds
            begin = time.perf_counter()
            results += lockstep.verify(bench, expectations, first=first, waves=None if no_waves else waves)
            run = time.perf_counter() - begin
            count_agreed(coverage, called, expectations, results[first:], stall_seed)
            click.echo(
                f"images {first} to {results[-1].number}: simulator {simulated:.1f} s, RTL {run:.1f} s", err=True
            )
            if results[-1].difference is not None:
                break
    _print(results, building, compare_writes, stall_seed)
    if results[-1].difference is not None:
        ctx.exit(1)


def _text(verilog: Path) -> str:
    """The user's Verilog; what is no such file is a ``GatewrightError``."""
    from gatewright.contract.errors import GatewrightError

    if not verilog.is_file():
        raise GatewrightError(f"there is no Verilog at {verilog}")
    try:
        return verilog.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise GatewrightError(f"{verilog} is no Verilog: {error}; it must be UTF-8") from error


def _refuse_what_has_no_use(ctx: click.Context, random: bool) -> None:
    """Options of networks beside --random, and its options without it, are mistakes."""
    given = {name for name in ctx.params if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE}
    wrong = given - set(OF_RANDOM) if random else given & {"kinds", "seed"}
    if wrong:
        names = ", ".join(p.opts[0] if p.opts else str(p.name) for p in ctx.command.params if p.name in wrong)
        raise click.UsageError(f"{names} {'says nothing to' if random else 'needs'} --random", ctx)


def _programs(
    name_or_path: str, arch: ArchConfig, count: int, dense: bool, live: bool, data: Path | None
) -> list[Program]:
    """The network compiled for each of the first images, or for all of them, with each image."""
    from gatewright import flow
    from gatewright.compiler.compile import Compiler

    flow.limit_threads()
    network = flow.load_network(name_or_path)
    images = network.spec.data.test_images(data, count)
    evaluation = flow.evaluate(network, images)
    if dense:
        return [flow.compile_dense(network, arch, sample) for sample in evaluation.inputs]
    if live:
        program = flow.compile_live(network, arch)
        return [replace(program, image=program.with_sample(sample)) for sample in evaluation.inputs]
    compiler = Compiler(network.graph, arch)
    return [compiler.compile(evaluation.decisions(i), evaluation.inputs[i]) for i in range(len(images))]


def _in_one_start(
    name_or_path: str, arch: ArchConfig, count: int, together: int | None, data: Path | None, writes: bool
) -> tuple[OneStart, Expectation]:
    """The first images, one behind the other or two at a time: what each gives by the reference, and what the RTL does.

    What it gives is checked here.
    """
    from gatewright import flow
    from gatewright.contract.images import lay_out
    from gatewright.in_flight import InFlight, compile_group
    from gatewright.one_start import run_in_one_start
    from gatewright.verify.expectations import expect_images

    flow.limit_threads()
    network = flow.load_network(name_or_path)
    evaluation = flow.evaluate(network, network.spec.data.test_images(data, count))
    if together is None:
        program = flow.compile_live(network, arch)
    else:
        program = compile_group(network, arch, evaluation, 0, InFlight(together, live=True))
    run = run_in_one_start(network.name, program, evaluation)
    return run, expect_images(program, *lay_out(program, list(evaluation.inputs)), writes=writes)


def _print(
    results: list[Verified], building: float, writes: bool, stall_seed: int | None, in_one_start: int | None = None
) -> None:
    """The verdict and its figures; ``in_one_start``: the images of the only result."""
    same = sum(result.difference is None for result in results)
    compared = "order and bytes" if stall_seed else "cycles and bytes"
    click.echo(f"{'PASS' if same == len(results) else 'DIFFERENCE'}         {compared}")
    seed = "" if stall_seed is None else f", seed {stall_seed}"
    each = 1 if in_one_start is None else in_one_start
    seconds = sum(result.seconds for result in results) / len(results) / each
    starts = "" if in_one_start is None else " in one start"
    click.echo(f"images       {same * each} without a difference{starts}{seed}")
    click.echo(f"instructions {sum(r.instructions for r in results):,}, {sum(r.events for r in results):,} events")
    how = "each compared" if writes else "their final state compared"
    click.echo(
        f"writes       {sum(r.writes for r in results):,} to the scratchpad, "
        f"{sum(r.dram_writes for r in results):,} beats to DRAM, {how}"
    )
    click.echo(f"bytes        {sum(r.compared_bytes for r in results):,}")
    click.echo(f"cycles       {sum(r.cycles for r in results):,}")
    click.echo(f"time         {seconds:.2f} s an image in Verilator, {building:.0f} s to build")
    different = results[-1]
    if different.difference is not None:
        click.echo(f"image {different.number}: {different.difference}")
        if different.waves is not None:
            click.echo(f"waveforms    {different.waves}")


COMMANDS: tuple[click.Command, ...] = (verify,)
