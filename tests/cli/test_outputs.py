"""What the simulator prints of a network that returns maps."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from gatewright.cli.main import main
from gatewright.compiler.compile import Compiler
from gatewright.contract.arch import PRESETS
from tests.end_to_end.test_pyramid import case


def test_maps_are_named_with_shape_and_unit(tmp_path: Path) -> None:
    network = case("read again")
    program = Compiler(network.graph, PRESETS["8x8"]).compile({}, network.inputs[0])
    program.save(tmp_path / "p.safetensors")
    result = CliRunner().invoke(main, ["simulate", str(tmp_path / "p.safetensors")])
    assert result.exit_code == 0, result.output
    logits = " ".join(str(value) for value in network.reference.logits[0])
    assert f"logits       {logits}\n" in result.output
    assert f"map          stem: 16x16x6 int8, unit {program.outputs[0].scale:.6g}\n" in result.output
