"""Where every cycle of a run went, and what that cost in speedup.

Cycles are attributed in *slots*, one per multiplier per cycle, so that every part is an integer
and the parts of a run sum exactly to cycles * peak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from gatewright.contract.isa import Opcode, Stationary, Unit, column
from gatewright.contract.program import Program
from gatewright.contract.timing import array_latency
from gatewright.contract.trace import Trace
from gatewright.measure.bounds import Holder, holder_of
from gatewright.measure.causes import Cause
from gatewright.measure.critical_path import BOOT, CriticalPath, Event
from gatewright.measure.executed import with_left_out
from gatewright.measure.layer_names import BOOT_LAYER, answering_layers
from gatewright.sim.result import SimResult

_STOPS = (Opcode.END, Opcode.EXIT)
_STATIONARY = column(Opcode.MATMUL, "stationary")

_CAUSE_OF_UNIT = {
    Unit.LOAD: Cause.DRAM,
    Unit.GATHER: Cause.PIPELINE,
    Unit.ARRAY: Cause.PIPELINE,
    Unit.EPILOGUE: Cause.PIPELINE,
    Unit.INDEX: Cause.INDEX,
    Unit.STORE: Cause.DRAM,
    Unit.SEQUENCER: Cause.DISPATCH,
}


@dataclass(frozen=True)
class Attribution:
    """One run, cut up.

    ``parts`` maps layer and cause to slots (MACs that the array could have done); ``array_cycles``
    maps layers to the cycles from a MATMUL's first to its last stream. ``held`` maps layer and holder to cycles: those
    of a layer are its slots by the array's peak.
    """

    parts: dict[str, dict[Cause, int]]
    array_cycles: dict[str, int]
    held: dict[str, dict[Holder, int]]


def attribute(program: Program, result: SimResult) -> Attribution:
    """Attribute every slot of a run of one image to a layer and a cause.

    A layer's useful
    slots are its executed MACs, but never more than ``program.macs`` counts (the classifier
    multiplies before it pools). A trace that breaks the machine's rules raises ``ValueError``.
    """
    if len(result.work) != len(result.trace.records):
        raise ValueError(f"{len(result.trace.records)} trace records, but {len(result.work)} work records")
    trace, work = with_left_out(program, result.trace, result.work, result.left_out)
    return _Attributor(program, trace, work).run(work)


def stream_span(program: Program, trace: Trace, work: npt.NDArray[np.void], position: int) -> tuple[int, int] | None:
    """The cycles [begin, end) in which a MATMUL streams; None if it has no work."""
    if not work["blocks"][position]:
        return None
    end = int(trace.records["done"][position]) - array_latency(program.arch.rows, program.arch.columns)
    return end - int(work["cycles"][position]), end


class _Attributor:
    def __init__(self, program: Program, trace: Trace, work: npt.NDArray[np.void]) -> None:
        self._program, self._trace = program, trace
        self._instruction = [int(i) for i in trace.records["instruction"]]
        self._unit = [Unit(int(u)) for u in trace.records["unit"]]
        self._layers = answering_layers(program)
        self._path = CriticalPath(program, trace, work)
        self._peak = program.arch.peak_macs
        self._parts: dict[str, dict[Cause, int]] = {}
        self._array_cycles: dict[str, int] = {}
        self._held: dict[str, dict[Holder, int]] = {}

    def run(self, work: npt.NDArray[np.void]) -> Attribution:
        """Walk along the array's time: idle, loading, streaming, and so on to the end."""
        since = 0
        for position, unit in enumerate(self._unit):
            span = stream_span(self._program, self._trace, work, position) if unit == Unit.ARRAY else None
            if span is None:
                continue
            begin, end = span
            run = int(self._trace.records["run"][position])
            if begin != max(run + int(work["preload"][position]), since):
                raise ValueError(f"trace record {position}: a stream at cycle {begin} is against the array's rule")
            layer = self._layer(position)
            loading = max(since, run)
            if loading > since:
                self._blame(position, since)
            streaming, macs = self._streaming(position, work), int(work["macs"][position])
            self._add(layer, Cause.STATIONARY, (begin - loading + end - begin - streaming) * self._peak)
            self._add(layer, Cause.USEFUL, macs)
            self._add(layer, Cause.LANES, streaming * self._peak - macs)
            self._hold(layer, Holder.OPERAND, begin - loading + end - begin - streaming)
            self._hold(layer, Holder.ARRAY, streaming)
            self._array_cycles[layer] = self._array_cycles.get(layer, 0) + end - begin
            since = end
        self._finish(since)
        self._cap_useful()
        return Attribution(self._parts, self._array_cycles, self._held)

    def _streaming(self, position: int, work: npt.NDArray[np.void]) -> int:
        """Cycles of a MATMUL with a vector on the bus: every tile streams the whole other operand."""
        still = self._program.code[self._instruction[position], _STATIONARY]
        streamed = work["pixels" if still == Stationary.FILTERS else "filters"][position]
        return int(work["blocks"][position] * work["slices"][position] * streamed)

    def _finish(self, since: int) -> None:
        """After the last stream: the drain, the last epilogues, the result's way out, the stop."""
        last = len(self._unit) - 1
        stop = int(self._trace.records["run"][last])
        if self._trace.cycles != int(self._trace.records["done"][last]) or self._opcode(last) not in _STOPS:
            raise ValueError(f"the trace ends with record {last}, which does not stop at cycle {self._trace.cycles}")
        self._blame(last, since)
        self._add(self._layer(last), Cause.DISPATCH, (self._trace.cycles - max(stop, since)) * self._peak)
        self._hold(self._layer(last), Holder.SEQUENCER, self._trace.cycles - max(stop, since))

    def _blame(self, position: int, since: int) -> None:
        """Explain the idle cycles from ``since`` until an instruction ran."""
        for segment in self._path.segments(position, Event.RUN, since):
            unit = Unit.LOAD if segment.position == BOOT else self._unit[segment.position]
            working = segment.working or segment.position == BOOT
            layer, cycles = self._layer(segment.position), segment.end - segment.begin
            self._add(layer, _CAUSE_OF_UNIT[unit] if working else Cause.DISPATCH, cycles * self._peak)
            self._hold(layer, holder_of(unit, working), cycles)

    def _cap_useful(self) -> None:
        for layer, parts in self._parts.items():
            useful = parts.get(Cause.USEFUL, 0)
            if useful and layer not in self._program.macs:
                raise ValueError(f"layer {layer} multiplies, but the program's macs do not name it")
            excess = useful - min(useful, self._program.macs.get(layer, 0))
            if excess:
                parts[Cause.USEFUL] -= excess
                parts[Cause.LANES] = parts.get(Cause.LANES, 0) + excess

    def _opcode(self, position: int) -> Opcode:
        return Opcode(int(self._program.code[self._instruction[position], 0]))

    def _layer(self, position: int) -> str:
        return BOOT_LAYER if position == BOOT else self._layers[self._instruction[position]]

    def _add(self, layer: str, cause: Cause, slots: int) -> None:
        assert slots >= 0, (layer, cause, slots)
        if slots:
            parts = self._parts.setdefault(layer, {})
            parts[cause] = parts.get(cause, 0) + slots

    def _hold(self, layer: str, holder: Holder, cycles: int) -> None:
        if cycles:
            held = self._held.setdefault(layer, {})
            held[holder] = held.get(holder, 0) + cycles


ACCOUNTING = "mac_accounting"
"""The step for executed MACs that are not in the MAC ratio, or the other way round."""

STEP_ORDER: tuple[Cause, ...] = (
    Cause.LANES,
    Cause.STATIONARY,
    Cause.PIPELINE,
    Cause.DRAM,
    Cause.INDEX,
    Cause.GATE,
    Cause.DISPATCH,
    Cause.UNGATED,
)


@dataclass(frozen=True)
class Step:
    """One step of a waterfall.

    ``cycles`` is what the cause costs beyond the dense run's share (may be negative: the gated run
    lost less of it); ``speedup_before`` and ``speedup_after`` bracket the step.
    """

    cause: str
    cycles: float
    speedup_before: float
    speedup_after: float

    @property
    def lost(self) -> float:
        """Speedup lost in this step; negative if it was gained."""
        return self.speedup_before - self.speedup_after


@dataclass(frozen=True)
class Waterfall:
    """From the theoretical to the realised speedup of one image, exactly."""

    theoretical: float
    realised: float
    steps: tuple[Step, ...]


def waterfall(
    dense: Mapping[Cause, int], gated: Mapping[Cause, int], peak: int, macs_dense: int, macs_gated: int
) -> Waterfall:
    """Explain realised cycles = dense cycles / theoretical + sum over causes of (gated - dense / theoretical).

    ``dense`` and ``gated`` are folded parts in slots. The arithmetic is rational, so the first
    step starts at exactly ``macs_dense / macs_gated`` and the last ends at exactly the ratio of cycles.
    """
    if macs_gated <= 0 or macs_dense <= 0:
        raise ValueError(f"the MAC ratio {macs_dense} / {macs_gated} must be of positive numbers")
    theoretical = Fraction(macs_dense, macs_gated)
    dense_cycles = Fraction(sum(dense.values()), peak)
    cycles = dense_cycles / theoretical
    steps = []
    order: Sequence[tuple[str, Cause]] = [(ACCOUNTING, Cause.USEFUL), *((str(cause), cause) for cause in STEP_ORDER)]
    for name, cause in order:
        change = Fraction(gated.get(cause, 0), peak) - Fraction(dense.get(cause, 0), peak) / theoretical
        before, cycles = cycles, cycles + change
        steps.append(Step(name, float(change), float(dense_cycles / before), float(dense_cycles / cycles)))
    assert cycles == Fraction(sum(gated.values()), peak)
    return Waterfall(float(theoretical), float(dense_cycles / cycles), tuple(steps))
