"""One program for several images, of which some are on the machine at the same time.

Each image in flight has a part of the scratchpad and of the parameters. Images that follow one another in such a part
are one recorded program; ``interleave`` puts the instructions of all of them into one order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.context import Listings, pages_ahead
from gatewright.compiler.emit.emit import Emitter
from gatewright.compiler.emit.lower import Lowering
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.interleave.new_places import NewPlaces
from gatewright.compiler.interleave.order import Cost, HeldUpError, Placed, interleave
from gatewright.compiler.interleave.places import ACCUMULATOR, MASK, PARAMETER, PATCH, SCRATCHPAD, TABLE, WEIGHT
from gatewright.compiler.interleave.recording import OPERANDS, POOLS, Recorded, Recorder, Region
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.operand_ring import REGION_GRANULE
from gatewright.contract.arch import ACCUMULATOR_BANKS, MASKS, ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import Opcode
from gatewright.contract.program import Program, of_image
from gatewright.contract.program_parts import GateRecord, LayerKind, Output, Placement

SHARES = {PATCH: 0.6, WEIGHT: 0.6, ACCUMULATOR: 0.75, TABLE: 0.5, MASK: 0.5}
"""Of each memory the part that an image in flight may hold of two: with less it waits for itself, with more the others
wait for it."""

_BURSTS = 4096
"""Bursts are split at multiples of this, so that an image's place modulo this is that of every image."""

Measure = Callable[[Program], Sequence[Cost]]
"""Runs a program on its images and tells what each instruction has cost, by its row."""


@dataclass(frozen=True)
class Request:
    """Images that a program shall run: decisions of each, or with ``live`` what a gate that is on everywhere decides.

    ``samples``: int8 [images, height, width, channels], those that costs are measured with, and that a replayed program
    is for. ``in_flight`` images are on the machine at a time.
    """

    decisions: Sequence[Decisions]
    samples: npt.NDArray[np.int8]
    in_flight: int
    live: bool


def _part_of(arch: ArchConfig, in_flight: int, operands: bool) -> ArchConfig:
    """The machine as one of several images in flight has it; ``operands``: with its own part of their buffers, too."""
    part = replace(
        arch,
        name=f"{arch.name}, {in_flight} images in flight",
        scratchpad_kib=arch.scratchpad_kib // in_flight,
        parameter_entries=arch.parameter_entries // in_flight,
    )
    if not operands:
        return part
    return replace(part, patch_kib=arch.patch_kib // in_flight, weight_kib=arch.weight_kib // in_flight)


def compile_group(graph: QuantisedGraph, arch: ArchConfig, request: Request, measure: Measure) -> Program:
    """The program for the images of a request.

    They share the operand buffers. Where these are so small that images hold each other up each has a part of them.
    """
    try:
        return _Group(graph, arch, request, POOLS).program(measure)
    except HeldUpError:
        return _Group(graph, arch, request, [memory for memory in POOLS if memory not in OPERANDS]).program(measure)


class _Group:
    """A program of several images in the making, which share the memories of ``pools``."""

    def __init__(self, graph: QuantisedGraph, arch: ArchConfig, request: Request, pools: Collection[str]) -> None:
        part = _part_of(arch, request.in_flight, PATCH not in pools)
        image = NetworkImage(graph, part, live=request.live)
        self.image, self.arch, self.request, self.pools = image, arch, request, pools
        if image.spilled or image.off_chip or image.constants:
            raise GatewrightError(
                f"arch {arch.name}: with {request.in_flight} images in flight maps of this network do not fit on chip, "
                "and those in DRAM have one place; raise scratchpad_kib, or compile for one image at a time"
            )
        self.count = len(request.decisions)
        first, given = image.input_region, [output.region for output in image.outputs.values()]
        low, high = min(r.address for r in given), max(r.address + r.size for r in given)
        self.strides = _whole(first.size), _whole(high - low)
        begin = _whole(len(image.static_image))
        inputs = begin + first.address % _BURSTS
        outputs = begin + self.count * self.strides[0] + _BURSTS + low % _BURSTS
        self._behind = inputs - first.address, outputs - low
        """Bytes by which inputs and outputs of image 0 lie behind where a program of one image has them."""
        self.listings = Listings(outputs - low % _BURSTS + self.count * self.strides[1] + _BURSTS)
        self.lowerings: list[list[Lowering]] = []
        """By part of the machine."""

    def program(self, measure: Measure) -> Program:
        """Record, measure, interleave."""
        ways = range(self.request.in_flight)
        recorders = [self._record(way) for way in ways]
        recordings = [recorder.recorded for recorder in recorders]
        measured = [measure(self._assemble(recorder, self.image.arch, [], [])) for recorder in recorders]
        costs = [[by_row[one.row] for one in recorded] for by_row, recorded in zip(measured, recordings, strict=True)]
        if self.request.live:
            costs = _expected(recordings, costs)
        shares = {memory: min(1.0, share * 2 / len(ways)) for memory, share in SHARES.items()}
        found = interleave(recordings, costs, self._sizes(), shares)
        out = Emitter(self.arch, pages_ahead(self.request.live))
        emitted: list[dict[int, int]] = [{} for _ in ways]
        for placed in found.order:
            if placed.instruction.opcode != Opcode.LOAD:
                out.load_next_page()
            emitted[placed.program][placed.instruction.row] = self._emit(out, placed, found.bases)
        gates, placements = list[GateRecord](), list[Placement]()
        for way, lowerings in enumerate(self.lowerings):
            places = NewPlaces(recordings[way], emitted[way], self._offsets(way)[SCRATCHPAD], self.count)
            for number, lowering in zip(self._numbers(way), lowerings, strict=True):
                gates += [places.gate(record, number, out) for record in lowering.gate_records()]
                placements += [places.placement(placement, number) for placement in lowering.placements.found]
        return self._assemble(out, self.arch, placements, gates)

    def _numbers(self, way: int) -> range:
        """The images of a part of the machine."""
        return range(way, self.count, self.request.in_flight)

    def _record(self, way: int) -> Recorder:
        """The images of a part of the machine, one behind the other."""
        out = Recorder(self.image.arch, pages_ahead(self.request.live), self.pools)
        self.lowerings.append([])
        for number in self._numbers(way):
            out.image, out.behind = number, self._behind_of(number)
            lowering = Lowering(self.image, self.request.decisions[number], self.request.live, out, self.listings)
            lowering.run()
            self.lowerings[way].append(lowering)
        return out

    def _behind_of(self, number: int) -> tuple[int, int]:
        return self._behind[0] + number * self.strides[0], self._behind[1] + number * self.strides[1]

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Addresses and granules of what the images share."""
        arch = self.arch
        operands = {PATCH: (arch.patch_words, REGION_GRANULE), WEIGHT: (arch.weight_words, REGION_GRANULE)}
        sizes = operands | {ACCUMULATOR: (ACCUMULATOR_BANKS, 1), TABLE: (arch.tables, 1), MASK: (MASKS, 1)}
        return {memory: size for memory, size in sizes.items() if memory in self.pools}

    def _offsets(self, way: int) -> dict[str, int]:
        part = self.image.arch
        offsets = {SCRATCHPAD: part.scratchpad_bytes, PARAMETER: part.parameter_entries}
        if PATCH not in self.pools:
            offsets |= {PATCH: part.patch_words, WEIGHT: part.weight_words}
        return {memory: way * size for memory, size in offsets.items()}

    def _emit(self, out: Emitter, placed: Placed, bases: dict[tuple[int, int], int]) -> int:
        one, offsets = placed.instruction, self._offsets(placed.program)

        def by(memory: str, region: Region | None) -> int:
            return offsets.get(memory, 0) if region is None else bases[placed.program, region.number] - region.low

        values = dict(one.values)
        for place, region in one.named:
            values[place.field] = place.moved(int(values[place.field]), by(place.memory, region))
        moves = [(use.access, by(use.access.memory, use.region)) for use in one.uses]
        out.layer = one.layer
        accesses = [access._replace(low=access.low + move, high=access.high + move) for access, move in moves]
        return out.emit(one.opcode, accesses, **values)

    def _assemble(
        self, out: Emitter, arch: ArchConfig, placements: list[Placement], gates: list[GateRecord]
    ) -> Program:
        """The program that ``out`` holds, with all images in their places."""
        room = np.zeros(self.listings.begin, np.uint8)
        room[: len(self.image.static_image)] = self.image.static_image
        shared = np.concatenate([room, *self.listings.data])
        code = out.finish(len(shared))
        starts, region = out.page_starts, self.image.input_region
        kinds, macs = dict[str, LayerKind](), dict[str, int]()
        for lowering in chain.from_iterable(self.lowerings):
            kinds |= lowering.kinds
            for layer, count in lowering.context.macs.items():
                macs[layer] = macs.get(layer, 0) + count
        program = Program(
            arch=arch,
            code=code,
            image=np.concatenate([shared, np.frombuffer(encode(code), np.uint8)]),
            code_address=len(shared),
            boot_count=starts[1] if len(starts) > 1 else len(code),
            input_region=replace(region, address=region.address + self._behind[0]),
            outputs=[output for number in range(self.count) for output in self._outputs(number)],
            regions=[one for one in self.image.regions if one.kind not in ("input", "output")],
            placements=placements,
            gates=gates,
            layers=out.layers,
            layer_kinds=kinds,
            macs=macs,
            page_starts=starts,
            input_layout=self.image.input_layout,
            live=self.request.live,
            images=self.count,
            input_stride=self.strides[0],
        )
        program.image = program.with_sample(self.request.samples)
        return program

    def _outputs(self, number: int) -> list[Output]:
        """Where the outputs of an image lie."""
        moved, by = list[Output](), self._behind_of(number)[1]
        for output in self.image.outputs.values():
            name = of_image(output.region.name, number, self.count)
            region = replace(output.region, name=name, address=output.region.address + by)
            moved.append(replace(output, name=of_image(output.name, number, self.count), region=region))
        return moved


def _whole(size: int) -> int:
    """Bytes of whole bursts."""
    return -(-size // _BURSTS) * _BURSTS


def _expected(recordings: Sequence[Sequence[Recorded]], costs: Sequence[Sequence[Cost]]) -> list[list[Cost]]:
    """Of programs that are the same for every image: what each instruction costs on average over the images."""
    by_image: dict[int, list[Cost]] = {}
    for recorded, cost in zip(recordings, costs, strict=True):
        for one, found in zip(recorded, cost, strict=True):
            by_image.setdefault(one.image, []).append(found)
    mean = np.rint(np.array(list(by_image.values())).mean(0)).astype(np.int64)
    each = [Cost(int(busy), int(latency)) for busy, latency in mean]
    return [each * (len(recorded) // len(each)) for recorded in recordings]
