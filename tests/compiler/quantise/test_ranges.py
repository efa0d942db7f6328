"""The file of activation ranges: numbers above 0, by tensor, each once; nothing else passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.quantise.calibrate import calibrate
from gatewright.compiler.quantise.ranges import read_ranges, save_ranges, tensors_with_a_range
from gatewright.contract.errors import GatewrightError
from gatewright.models.datasets.cifar10 import CIFAR10
from gatewright.models.families.resnet_cifar.network import ResNetCifar
from gatewright.models.gates.kinds import Gating
from tests.compiler.networks import random_images


def test_ranges_come_back_with_six_digits(tmp_path: Path) -> None:
    save_ranges(tmp_path / "r.json", {"input": 1.23456789, "conv1": 2.0})
    assert read_ranges(tmp_path / "r.json") == {"input": 1.23457, "conv1": 2.0}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("gating", ["none", "spatial", "channel", "dual"])
def test_calibration_measures_exactly_what_quantisation_needs(gating: Gating) -> None:
    graph = capture(ResNetCifar(8, gating, size=16), (3, 16, 16))
    assert sorted(calibrate(graph, CIFAR10.normalise(random_images(2)))) == sorted(tensors_with_a_range(graph))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"input": true}', "input = True must be a valid number"),
        ('{"input": "2.5"}', "input = '2.5' must be a valid number"),
        ('{"input": null}', "input = None must be a valid number"),
        ('{"input": 0}', "input = 0.* must be greater than"),
        ('{"input": -2.5}', "input = -2.5 must be greater than"),
        ('{"input": NaN}', "NaN is no number"),
        ('{"input": Infinity}', "Infinity is no number"),
        ('{"input": 1e999}', "input"),
        ('{"input": 1e200}', "input = 1e.200 must be less than"),
        ('{"input": 1, "input": 2}', "key 'input' is there twice"),
        ('{"input": [1]}', r"input = \[1\] must be a valid number"),
        ("[1, 2]", "must be an object"),
        ("3", "must be an object"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
    ],
)
def test_what_is_no_range_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "model.ranges.json"
    path.write_text(text)
    with pytest.raises(GatewrightError, match=message) as caught:
        read_ranges(path)
    assert str(caught.value).startswith(f"activation ranges {path} are damaged")
    assert str(caught.value).endswith("calibrate the same network again")
