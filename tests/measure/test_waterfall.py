"""Every cycle has one cause, and the waterfall begins and ends where it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.contract.trace import Trace
from gatewright.measure.causes import Cause, fold_layers
from gatewright.measure.waterfall import attribute, waterfall
from tests.measure import hand_run


def test_every_cycle_of_a_hand_worked_run_has_its_cause() -> None:
    result = hand_run.hand_result()
    found = attribute(hand_run.hand_program(), result)
    assert {layer: {str(c): n for c, n in parts.items() if n} for layer, parts in found.parts.items()} == (
        hand_run.EXPECTED
    )
    assert found.array_cycles == hand_run.ARRAY_CYCLES
    assert sum(sum(parts.values()) for parts in found.parts.values()) == hand_run.CYCLES * 16


def test_layers_fold_by_kind() -> None:
    result = hand_run.hand_result()
    parts = attribute(hand_run.hand_program(), result).parts
    folded = fold_layers(parts, {"boot": "control", **hand_run.KINDS})
    assert {str(c): n for c, n in folded.items()} == {
        "useful": 90 + 120,  # the gate's 16 MACs are gate evaluation
        "lane_rounding": 70 + 72,
        "stationary_loads": 2 * 16,
        "pipeline": (34 + 59) * 16,
        "index_building": 16 * 16,
        "gate_evaluation": (54 - 16) * 16,
        "dram_stalls": (102 + 86) * 16,
        "dispatch": (7 + 1) * 16,
        "ungated_layers": 75 * 16,
    }
    with pytest.raises(ValueError, match="layer kind 'odd'"):
        fold_layers(parts, dict.fromkeys(parts, "odd"))


def test_useful_macs_never_exceed_what_the_network_counts() -> None:
    program, result = hand_run.hand_program(), hand_run.hand_result()
    program.macs["conv2"] = 50
    parts = attribute(program, result).parts["conv2"]
    assert parts[Cause.USEFUL] == 50
    assert parts[Cause.LANES] == 12 * 16 - 50
    result.work["macs"][8] = 12 * 16  # no lane was idle
    assert attribute(program, result).parts["conv2"][Cause.LANES] == 12 * 16 - 50
    del program.macs["conv2"]
    with pytest.raises(ValueError, match="conv2"):
        attribute(program, result)


@pytest.mark.parametrize(
    ("position", "changes", "waits", "message"),
    [
        (2, {"done": 221}, True, "record 2: a stream at cycle 197"),
        (0, {"start": 110, "run": 110}, True, "record 0: nothing explains its start at cycle 110"),
        (7, {}, False, "record 7: nothing explains its start at cycle 294"),
        (7, {"dispatch": 287}, False, "record 7: nothing explains its dispatch at cycle 287"),
    ],
)
def test_a_trace_against_the_rules_is_refused(
    position: int, changes: dict[str, int], waits: bool, message: str
) -> None:
    program, result = hand_run.hand_program(), hand_run.hand_result()
    for name, value in changes.items():
        result.trace.records[name][position] = value
    if not waits:
        program.code[position, 1:7] = 0
    with pytest.raises(ValueError, match=message):
        attribute(program, result)


def test_a_trace_that_does_not_stop_is_refused() -> None:
    result = hand_run.hand_result(hand_run.CYCLES + 1)
    with pytest.raises(ValueError, match="does not stop"):
        attribute(hand_run.hand_program(), result)
    with pytest.raises(ValueError, match="work records"):
        attribute(hand_run.hand_program(), replace(result, work=np.delete(result.work, 0)))
    records = np.delete(result.trace.records, 3)
    with pytest.raises(ValueError, match=r"the trace lacks instruction 3 \(EPILOGUE\)"):
        attribute(
            hand_run.hand_program(),
            replace(result, trace=Trace(records, result.cycles), work=np.delete(result.work, 3)),
        )


def test_a_waterfall_by_hand() -> None:
    # 1000 dense cycles of 16 slots, theoretical 2: the dense run's share of a cause is half of it.
    dense = {Cause.USEFUL: 800 * 16, Cause.LANES: 100 * 16, Cause.DRAM: 100 * 16}
    gated = {Cause.USEFUL: 400 * 16, Cause.LANES: 150 * 16, Cause.DRAM: 30 * 16, Cause.GATE: 45 * 16}
    fall = waterfall(dense, gated, 16, 2_000_000, 1_000_000)
    steps = {step.cause: step for step in fall.steps}
    assert fall.theoretical == 2.0
    assert fall.realised == 1000 / 625
    assert steps["lane_rounding"].cycles == 100  # 150 - 100 / 2: from 500 to 600 cycles
    assert (steps["lane_rounding"].speedup_before, steps["lane_rounding"].speedup_after) == (2.0, 1000 / 600)
    assert steps["dram_stalls"].cycles == -20
    assert steps["dram_stalls"].lost == pytest.approx(1000 / 600 - 1000 / 580)
    assert steps["gate_evaluation"].cycles == 45
    assert steps["mac_accounting"].cycles == steps["index_building"].cycles == 0


_PARTS = st.dictionaries(st.sampled_from(list(Cause)), st.integers(0, 10**9)).map(lambda d: {**d, Cause.USEFUL: 16})


@given(_PARTS, _PARTS, st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_waterfall_starts_and_ends_exactly(
    dense: dict[Cause, int], gated: dict[Cause, int], macs_dense: int, macs_gated: int
) -> None:
    fall = waterfall(dense, gated, 16, macs_dense, macs_gated)
    assert fall.steps[0].speedup_before == fall.theoretical == macs_dense / macs_gated
    assert fall.steps[-1].speedup_after == fall.realised == sum(dense.values()) / sum(gated.values())
    for before, after in zip(fall.steps, fall.steps[1:], strict=False):
        assert before.speedup_after == after.speedup_before
    # Realised cycles = dense cycles / theoretical + what every cause adds.
    share = sum(dense.values()) / 16 * macs_gated / macs_dense
    magnitude = share + sum(abs(step.cycles) for step in fall.steps)
    total = share + sum(step.cycles for step in fall.steps)
    assert total == pytest.approx(sum(gated.values()) / 16, rel=1e-9, abs=1e-9 * magnitude)


def test_a_waterfall_needs_macs() -> None:
    with pytest.raises(ValueError, match="MAC ratio"):
        waterfall({Cause.USEFUL: 1}, {Cause.USEFUL: 1}, 16, 100, 0)
