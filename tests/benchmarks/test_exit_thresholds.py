"""Thresholds of early exits against cycles: what a row says is what the programs and the reference do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.exit_thresholds import Row, leaving, measure, tuned
from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.graph.reference import run_reference
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.quantise import quantise_input
from gatewright.compiler.quantise.ranges import save_ranges
from gatewright.contract.arch import PRESETS
from gatewright.flow import compile_live, load_network, ranges_path
from gatewright.models.checkpoints.checkpoint import save_checkpoint
from gatewright.models.families.spec import NetworkSpec
from gatewright.models.synthetic.exits import synthesise_exits
from gatewright.models.training.heads import look
from gatewright.sim.fast.machine import simulate
from tests.support.cifar import image_set


def test_rows_are_what_programs_with_these_thresholds_do(tmp_path: Path) -> None:
    images = image_set(16, 3)
    network, spec = synthesise_exits(NetworkSpec(8, family_name="resnet-cifar-exits"), images, [0.4, 0.3], seed=1)
    path, arch = tmp_path / "exits.safetensors", PRESETS["ultra96"]
    save_checkpoint(path, network, spec)
    save_ranges(ranges_path(path), calibrate(capture(network), images.normalised()))
    loaded = load_network(path)
    own = [gate.threshold for gate in network.gates()]
    settings = [own, [1e30, own[1]], [1e30, 1e30]]
    dense, rows = measure(loaded, arch, images, settings, runs=2)
    live = compile_live(loaded, arch)
    inputs = quantise_input(images.normalised(), loaded.graph)
    reference = run_reference(loaded.graph, inputs)
    taken, answers = leaving(live, reference, own)
    assert np.array_equal(taken, reference.taken) and np.array_equal(answers, reference.logits)
    assert set(taken.tolist()) == {0, 1, 2}
    first = rows[0]
    assert first.shares == [float((taken == number).mean()) for number in range(3)]
    for number in range(3):
        those = np.flatnonzero(taken == number)[:2]
        assert first.cycles[number] == np.mean([simulate(live, inputs[position]).cycles for position in those])
    assert first.top1 == images.accuracy(answers.argmax(1), 10)
    assert rows[1].shares[0] == 0 and rows[1].cycles[0] == 0 and rows[1].shares[1] >= first.shares[1]
    assert rows[2].shares == [0, 0, 1] and rows[2].mean_cycles > dense > first.mean_cycles
    assert Row([], 0.0, [0.25, 0.75], [100.0, 200.0]).mean_cycles == pytest.approx(175)


def test_more_may_be_lost_for_less_work() -> None:
    """Of images whose class is what the network's end says: whoever leaves early may be lost."""
    images = image_set(120, 3)
    network, _ = synthesise_exits(NetworkSpec(8, family_name="resnet-cifar-exits"), images, [0.4, 0.3], seed=1)
    images = replace(images, labels=look(network, images).end.numpy())
    kept, lost = tuned(network, images, [0.0, 1.0])
    assert all(first >= second for first, second in zip(kept, lost, strict=True)) and kept != lost
