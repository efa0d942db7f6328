"""What must hold in a program besides the types of its header: its parts agree with each other and with the machine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from gatewright.contract.arch import BEAT_BYTES, INSTRUCTION_BYTES, MASK_BITS, MASKS, PARAMETER_BYTES
from gatewright.contract.encodings import LOGIT_BYTES
from gatewright.contract.errors import GatewrightError
from gatewright.contract.index_table import build_table
from gatewright.contract.instruction_words import encode
from gatewright.contract.isa import Opcode, column

if TYPE_CHECKING:
    from gatewright.contract.program import Program
    from gatewright.contract.program_parts import ExitRecord, GateRecord, Output, Placement


def check_program(program: Program) -> None:
    """Raise a ``GatewrightError`` that names the first part that does not fit the others."""
    _check_code(program)
    _check_skips(program)
    _check_regions(program)
    _check_layers(program)
    _check_unique("gate", (gate.name for gate in program.gates))
    for gate in program.gates:
        _check_gate(program, gate)
    _check_unique("exit", (one.name for one in program.exits))
    for one in program.exits:
        _check_exit(program, one)
    _check_unique("placement", (placement.tensor for placement in program.placements))
    for placement in program.placements:
        _check_placement(program, placement)


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise GatewrightError(complaint)


def _check_unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _require(name not in seen, f"{what} {name!r} is there twice")
        seen.add(name)


def _check_code(program: Program) -> None:
    """Instructions, their copy in the image, and the pages."""
    count, start, image = len(program.code), program.code_address, program.image
    end = start + count * INSTRUCTION_BYTES
    _require(count > 0, "it has no instructions")
    _require(start % BEAT_BYTES == 0, f"code_address = {start} is not a multiple of {BEAT_BYTES}")
    _require(end <= len(image), f"the code needs bytes {start} to {end} of an image of {len(image)}")
    stored = np.frombuffer(encode(program.code), np.uint8).reshape(count, -1)
    different = (stored != image[start:end].reshape(count, -1)).any(1)
    _require(not different.any(), f"instruction {int(different.argmax())} is another one in the image")
    pages = program.page_starts
    rising = pages[0] == 0 and all(low < high for low, high in pairwise([*pages, count]))
    _require(rising, f"page_starts = {pages} do not rise from 0 below the {count} instructions")
    first = pages[1] if len(pages) > 1 else count
    _require(program.boot_count == first, f"boot_count = {program.boot_count}, but page 0 has {first} instructions")


def _check_skips(program: Program) -> None:
    """What a SKIP leaves out lies in the program, and goes on behind the range: the program's end is not in it."""
    for number in np.flatnonzero(program.code[:, 0] == Opcode.SKIP):
        count = int(program.code[number, column(Opcode.SKIP, "instructions")])
        who, last = f"instruction {number} (SKIP) leaves out {count} instructions", int(number) + count
        _require(last < len(program.code), f"{who}, but {len(program.code) - number - 1} follow")
        ends = np.flatnonzero(program.code[number + 1 : last + 1, 0] == Opcode.END)
        _require(not len(ends), f"{who}, among them END at {int(number) + 1 + int(ends[0]) if len(ends) else 0}")


def _check_regions(program: Program) -> None:
    """Every region lies in the image; two that share a byte are the same one."""
    image, layout, sample = len(program.image), program.input_layout, program.input_region
    _require(sample.kind == "input", f"input_region is of kind {sample.kind}")
    _check_unique("output", (output.name for output in program.outputs))
    for output in program.outputs:
        _check_output(output)
    named = [*program.regions, program.input_region, *(output.region for output in program.outputs)]
    for region in named:
        _require(
            region.address + region.size <= image,
            f"region {region.name!r} ends at byte {region.address + region.size} of an image of {image} bytes",
        )
    code = program.code_address, len(program.code) * INSTRUCTION_BYTES, "code"
    places = sorted({code, *((region.address, region.size, region.kind) for region in named if region.size)})
    for (low, size, one), (high, _, other) in pairwise(places):
        _require(low + size <= high, f"{one} at bytes {low} to {low + size} overlaps {other} from byte {high} on")
    if layout is not None:
        size = layout.height * layout.width * layout.channels * layout.rows
        _require(
            size == sample.size and size > 0 and layout.padding < layout.rows,
            f"input_layout {layout} does not fill the {sample.size} bytes of region {sample.name!r}",
        )


def _check_output(output: Output) -> None:
    """An output fills its region, which is one that the program writes."""
    who, region = f"output {output.name!r}", output.region
    _require(region.kind in ("output", "map"), f"{who}: its region is of kind {region.kind}")
    _require(
        output.kind == "map" or (output.height, output.width) == (1, 1),
        f"{who}: {output.height}x{output.width} is no shape of logits",
    )
    _require(output.bytes == region.size, f"{who} has {output.bytes} bytes, its region {region.size}")
    _require(isfinite(output.scale) and output.scale > 0, f"{who}: scale = {output.scale} is no unit")


def _check_layers(program: Program) -> None:
    known = program.layer_kinds.keys()
    count = len(program.layers)
    _require(count == len(program.code), f"layers names {count} layers, for {len(program.code)} instructions")
    unknown = sorted({*program.layers, *program.macs} - known)
    _require(not unknown, f"layer_kinds lacks {', '.join(map(repr, unknown[:3]))}")


def _check_gate(program: Program, gate: GateRecord) -> None:
    """The mask and the table are those of the INDEX that the gate names."""
    who = f"gate {gate.name!r}"
    fits = gate.mask < MASKS and gate.bits <= (MASKS - gate.mask) * MASK_BITS
    _require(fits and gate.bits > 0, f"{who}: {gate.bits} bits of mask {gate.mask}")
    decided = 0 if program.live else gate.bits
    _require(len(gate.decision) == decided, f"{who} has {gate.bits} bits, but {len(gate.decision)} decisions")
    _require(set(gate.decision) <= {0, 1}, f"{who}: decisions are 0 or 1")
    row = gate.index_instruction
    _require(row < len(program.code), f"{who}: index_instruction = {row} of {len(program.code)} instructions")
    _require(int(program.code[row, 0]) == Opcode.INDEX, f"{who}: instruction {row} is no INDEX")
    found = {name: int(program.code[row, column(Opcode.INDEX, name)]) for name in ("mask", "bits", "complement")}
    expected = {"mask": gate.mask, "bits": gate.bits, "complement": 0}
    _require(found == expected, f"{who}: instruction {row} has {found}, not {expected}")
    width = _grid_width(program, gate)
    if gate.kind == "spatial":
        _require(width > 0 and gate.bits % width == 0, f"{who}: {gate.bits} bits in rows of {width}")
    else:
        _require(width == 0, f"{who}: the INDEX of a {gate.kind} gate has no grid_width")
    if program.live:
        _require(not gate.table, f"{who}: a live program has no tables of decisions")
        return
    decision = np.array(gate.decision, np.bool_)
    decision = decision.reshape(-1, width) if gate.kind == "spatial" else decision
    _require(gate.table == tuple(build_table(decision).tolist()), f"{who}: its table is not that of its decisions")


def _check_exit(program: Program, one: ExitRecord) -> None:
    """It has logits and a gate with a bit for each, parameters of both, and in a live program its EXIT."""
    who = f"exit {one.name!r}"
    outputs = [output for output in program.outputs if output.name == one.output and output.kind == "logits"]
    _require(len(outputs) == 1, f"{who}: {one.output!r} is no output of logits")
    classes = outputs[0].channels
    gates = [gate for gate in program.gates if gate.name == one.name]
    fits = [(gate.kind, gate.bits) for gate in gates] == [("exit", classes)]
    _require(fits, f"{who}: the program has no gate of kind exit with that name and {classes} bits")
    end = one.parameters + 2 * classes * PARAMETER_BYTES
    regions = [region for region in program.regions if region.kind == "parameters"]
    inside = any(region.address <= one.parameters and end <= region.address + region.size for region in regions)
    aligned = one.parameters % PARAMETER_BYTES == 0
    _require(inside and aligned, f"{who}: bytes {one.parameters} to {end} are no parameters of the program")
    row = one.instruction
    if row is None:
        _require(not program.live, f"{who}: a live program has an EXIT for it")
        return
    is_exit = row < len(program.code) and int(program.code[row, 0]) == Opcode.EXIT
    _require(is_exit, f"{who}: instruction {row} is no EXIT")


def _grid_width(program: Program, gate: GateRecord) -> int:
    return int(program.code[gate.index_instruction, column(Opcode.INDEX, "grid_width")])


def _check_placement(program: Program, placement: Placement) -> None:
    """The tensor lies in the scratchpad, and its gates are those of its shape."""
    who, gates = f"placement of {placement.tensor!r}", {gate.name: gate for gate in program.gates}
    height, width, channels = placement.height, placement.width, placement.channels
    _require(min(height, width, channels) > 0, f"{who}: {height}x{width}x{channels} is no shape")
    count = len(program.code)
    _require(placement.last_write < count, f"{who}: last_write = {placement.last_write} of {count} instructions")
    for name, kind in ((placement.spatial_gate, "spatial"), (placement.channel_gate, "channel")):
        known = name is None or (name in gates and gates[name].kind == kind)
        _require(known, f"{who}: the program has no {kind} gate {name!r}")
    compact = placement.kind == "compact"
    _require(compact == (placement.channel_gate is not None), f"{who}: a map is compact if it has a channel gate")
    pitch = placement.pitch or channels
    _require(pitch == channels or (placement.kind == "map" and pitch > channels), f"{who}: a pitch of {pitch} bytes")
    size = height * width * pitch
    if placement.channel_gate is not None:
        gate = gates[placement.channel_gate]
        _require(gate.bits == channels, f"{who} has {channels} channels, its gate {gate.name!r} {gate.bits} bits")
        size = height * width * (gate.bits if program.live else sum(gate.decision))
    if placement.spatial_gate is not None:
        gate = gates[placement.spatial_gate]
        across = _grid_width(program, gate)
        tile = -(-height // (gate.bits // across))
        fits = (-(-height // tile) * across, -(-width // tile)) == (gate.bits, across)
        _require(fits, f"{who}: the {gate.bits} bits of gate {gate.name!r} are no tiles of {height}x{width} pixels")
    if placement.kind == "logits":
        size = LOGIT_BYTES * channels
        logits = {(output.channels, 1, 1) for output in program.outputs if output.kind == "logits"}
        _require((channels, height, width) in logits, f"{who}: {height}x{width}x{channels} logits, which no output has")
    room = program.arch.scratchpad_bytes
    end = placement.address + size
    _require(end <= room, f"{who} ends at byte {end} of a scratchpad of {room}")
