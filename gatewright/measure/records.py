"""What the report keeps of a run: small, plain, and free of traces and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import Opcode, Unit, column
from gatewright.contract.program import Program
from gatewright.contract.program_parts import GateRecord
from gatewright.measure.bounds import Holder
from gatewright.measure.causes import Cause, fold_layers
from gatewright.measure.layer_names import BOOT_LAYER, answering_layers
from gatewright.measure.traffic import boot_read
from gatewright.measure.waterfall import attribute
from gatewright.sim.result import SimResult


@dataclass(frozen=True)
class LayerRecord:
    """One layer of one run.

    ``cycles`` are the layer's share of the run's wall time: the array's busy cycles and the idle
    cycles that the layer's instructions are answerable for, so the layers of a run sum to its
    total. ``macs`` are useful MACs, ``dram_bytes`` what was read for it, ``dram_cycles`` how long
    that held the data channel, ``array_cycles`` how long it streamed. ``parts`` are slots. ``held`` are cycles, whose
    sum is ``cycles``.
    """

    name: str
    kind: str
    cycles: int
    macs: int
    dram_bytes: int
    dram_cycles: int
    array_cycles: int
    parts: dict[Cause, int]
    held: dict[Holder, int] = field(default_factory=dict)


@dataclass(frozen=True)
class GateDecision:
    """One gate's decision: [height, width] for a spatial gate, [channels] for a channel gate, [classes] for an exit."""

    name: str
    kind: str
    decision: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BlockWork:
    """What gates decide about together, and the MACs of it that a run executes, those of the gates left out.

    ``gates`` and ``layers`` are names, in order; what an early exit alone decides about has no gates.
    """

    name: str
    gates: tuple[str, ...]
    layers: tuple[str, ...]
    macs: int


@dataclass(frozen=True)
class RunRecord:
    """One run. ``peak`` is the array's MACs per cycle; ``macs`` counts for the theoretical speedup.

    ``blocks`` are those of the network, the same for every run of it; none where nothing is gated.
    """

    cycles: int
    peak: int
    macs: int
    layers: tuple[LayerRecord, ...]
    gates: tuple[GateDecision, ...]
    blocks: tuple[BlockWork, ...] = ()

    @property
    def utilisation(self) -> float:
        """Useful MACs / (cycles * peak)."""
        return sum(layer.macs for layer in self.layers) / (self.cycles * self.peak)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of every layer."""
        return {layer.name: layer.kind for layer in self.layers}

    def folded(self, kinds: Mapping[str, str]) -> dict[Cause, int]:
        """Slots by cause, with layers folded by ``kinds`` (the dense run is read with the gated network's)."""
        return fold_layers({layer.name: layer.parts for layer in self.layers}, kinds)


@dataclass(frozen=True)
class ImageRecord:
    """One image: its run and what the networks said. ``image`` is [height, width, 3] uint8, if it can be shown.

    ``label`` is None where no accuracy may be computed: the class is not known, or the network was not trained.
    What is predicted is None of a network without a classifier.
    """

    index: int
    label: int | None
    predicted_float: int | None
    predicted_int8: int | None
    run: RunRecord
    image: npt.NDArray[np.uint8] | None = None
    replay_cycles: int | None = None
    """Of a live program's run: what the program takes that is compiled for the image."""
    exit: int | None = None
    """In a network with early exits: at which the image leaves, counted from 0; the network's end is the last."""


def record_run(
    program: Program, result: SimResult, macs: int | None = None, blocks: tuple[BlockWork, ...] = ()
) -> RunRecord:
    """Keep what the report needs of a simulator's result.

    ``macs`` is the network's MAC count for this sample, for the theoretical speedup; by default
    the sum of ``program.macs``. A live program's run must have been observed: its decisions are the run's.
    """
    attribution = attribute(program, result)
    kinds = {BOOT_LAYER: "control", **program.layer_kinds}
    peak = program.arch.peak_macs
    reads = _reads(program, result)
    layers = []
    for name in _names(program):
        if name not in kinds:
            raise GatewrightError(f"the program gives layer {name} no kind; compile it again")
        parts = attribution.parts.get(name, {})
        slots = sum(parts.values())
        assert slots % peak == 0, (name, slots)
        held = attribution.held.get(name, {})
        assert sum(held.values()) * peak == slots, (name, held, slots)
        dram_bytes, dram_cycles = reads.get(name, (0, 0))
        layers.append(
            LayerRecord(
                name=name,
                kind=kinds[name],
                cycles=slots // peak,
                macs=parts.get(Cause.USEFUL, 0),
                dram_bytes=dram_bytes,
                dram_cycles=dram_cycles,
                array_cycles=attribution.array_cycles.get(name, 0),
                parts=parts,
                held=held,
            )
        )
    if sum(layer.cycles for layer in layers) != result.cycles:
        raise ValueError(f"the layers' cycles do not sum to the run's {result.cycles}")
    counted = sum(program.macs.values()) if macs is None else macs
    # What lies behind the early exit at which a live program ends has not been decided.
    seen = [gate for gate in program.gates if not program.live or gate.name in result.gates]
    gates = tuple(_decision(program, gate, result) for gate in seen)
    return RunRecord(result.cycles, peak, counted, tuple(layers), gates, blocks)


def _names(program: Program) -> list[str]:
    """Every layer in the network's order, which is that of its kinds; what the program ends with comes last.

    A layer may be left without an instruction, if all its channels or tiles are off: it is listed all the same.
    """
    names = dict.fromkeys([BOOT_LAYER, *program.layer_kinds, *program.layers])
    last = program.layers[-1]
    if program.layer_kinds.get(last) == "control":
        del names[last]
        names[last] = None
    return list(names)


def _reads(program: Program, result: SimResult) -> dict[str, tuple[int, int]]:
    """Bytes read from DRAM and cycles of its data channel, by layer; the boot page is not in the trace."""
    totals = {BOOT_LAYER: boot_read(program)}
    layers = answering_layers(program)
    for position in np.flatnonzero(result.trace.records["unit"] == Unit.LOAD):
        layer = layers[int(result.trace.records["instruction"][position])]
        size, cycles = totals.get(layer, (0, 0))
        done = result.work[position]
        totals[layer] = size + int(done["bytes"]), cycles + int(done["cycles"])
    return totals


def _decision(program: Program, gate: GateRecord, result: SimResult) -> GateDecision:
    decision = result.gates[gate.name] if program.live else np.asarray(gate.decision, np.bool_)
    if gate.kind == "spatial":
        width = int(program.code[gate.index_instruction, column(Opcode.INDEX, "grid_width")])
        decision = decision.reshape(-1, width)
    elif gate.kind not in ("channel", "exit"):
        raise GatewrightError(f"gate {gate.name} is of kind {gate.kind!r}; the report knows spatial, channel and exit")
    return GateDecision(gate.name, gate.kind, decision)
