from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatewright.compiler.frontend.capture import capture
from gatewright.compiler.frontend.exported import load_exported
from gatewright.compiler.graph.float_executor import run_float
from gatewright.contract.errors import GatewrightError
from tests.support.exported import MODEL, SAMPLES, WEIGHTS, Gated, edit, export, gated


def refusal(path: Path) -> str:
    with pytest.raises(GatewrightError) as caught:
        load_exported(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_program_computes_what_the_module_does(tmp_path: Path) -> None:
    """The oracle is torch, running the module."""
    network = gated()
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = load_exported(export(network, tmp_path / "own.pt2")).graph
    with torch.no_grad():
        expected = network(images).argmax(1).numpy()
    assert np.array_equal(run_float(found, images.numpy()).predictions, expected)
    assert [layer.name for layer in found.layers] == [layer.name for layer in capture(network, (3, 8, 8)).layers]


def test_a_tensor_that_is_no_parameter_is_a_constant(tmp_path: Path) -> None:
    class Lifted(Gated):
        def __init__(self) -> None:
            super().__init__()
            self.filters = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(2))

        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.conv2d(self.norm(self.stem(x)).relu(), self.filters, padding=1).relu()
            logits: Tensor = self.head(x.mean((2, 3)))
            return logits

    network = Lifted().eval()
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = load_exported(export(network, tmp_path / "own.pt2")).graph
    with torch.no_grad():
        assert np.array_equal(run_float(found, images.numpy()).predictions, network(images).argmax(1).numpy())


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = gated()

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return self.inner(x + scale)  # type: ignore[no-any-return]


class _TwoOut(_Two):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.inner(x), x


def test_what_is_no_function_of_one_image_is_refused(tmp_path: Path) -> None:
    image = torch.zeros(1, 3, 8, 8)
    path = tmp_path / "own.pt2"
    assert "training mode; call eval()" in refusal(export(Gated().train(), path))
    dropout = nn.Sequential(gated(), nn.Dropout()).train()
    dropout[0].eval()
    assert "training mode; call eval()" in refusal(export(dropout, path))
    batch = {"dynamic_shapes": ({0: torch.export.Dim("batch", min=1, max=64)},)}
    two = torch.zeros(2, 3, 8, 8)
    assert "dynamic shape" in refusal(export(gated(), path, two, **batch))
    assert "[2, 3, 8, 8]; a program is for one image" in refusal(export(gated(), path, two))
    assert "[1, 3, 8]" in refusal(export(nn.Flatten(), path, image[:, :, 0]))
    assert "takes 2 inputs" in refusal(export(_Two(), path, image, image))
    assert "result 1 of the network: it is the image" in refusal(export(_TwoOut(), path))
    assert "sigmoid: this operation is not supported" in refusal(export(nn.Sequential(gated(), nn.Sigmoid()), path))


class _Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _pickled(payload: object) -> bytes:
    stream = io.BytesIO()
    torch.save(payload, stream)
    return stream.getvalue()


def _first_weight(table: dict[str, Any]) -> None:
    next(entry for entry in table["config"].values() if entry["path_name"] == "weight_0")["use_pickle"] = True


def _expression(mark: Path) -> Callable[[dict[str, Any]], None]:
    def change(model: dict[str, Any]) -> None:
        values = model["graph_module"]["graph"]["tensor_values"]
        text = f"__import__('os').mkdir({str(mark)!r})"
        next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": text, "hint": None}}

    return change


def _call(model: dict[str, Any]) -> None:
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def test_a_malicious_file_executes_nothing(tmp_path: Path) -> None:
    """Each of the first three executes code in ``torch.export.load``: the oracle is that it does."""
    mark, path = tmp_path / "executed", tmp_path / "own.pt2"
    payload = _pickled(_Payload(mark))
    files: dict[str, tuple[dict[str, Callable[[Any], Any]], str | None]] = {
        "sample inputs": ({SAMPLES: lambda _: payload}, None),
        "weight": ({"data/weights/weight_0": lambda _: payload, WEIGHTS: _first_weight}, "unpickling can execute code"),
        "expression": ({MODEL: _expression(mark)}, "dynamic shape"),
    }
    for name, (edits, reason) in files.items():
        edit(export(gated(), path), edits)
        logging.disable()  # torch's own message about the fallback is malformed
        try:
            with pytest.raises(Exception):  # noqa: B017  (torch fails in its own way, after the code has run)
                torch.export.load(path)
        finally:
            logging.disable(logging.NOTSET)
        assert mark.is_dir(), name
        mark.rmdir()
        if reason is None:
            load_exported(path)
        else:
            assert reason in refusal(path)
        assert not mark.exists(), name
    assert "calls 'torch.os.system'" in refusal(edit(export(gated(), path), {MODEL: _call}))
    added = {"data/aotinductor/model/model.so": b"code"}
    assert "model.so', which is not of one exported program" in refusal(edit(export(gated(), path), {}, added))


def test_damaged_files_and_files_of_another_torch_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.pt2"
    whole = export(gated(), path).read_bytes()

    def newer(model: dict[str, Any]) -> None:
        model["torch_version"] = "9.1.0"
        model["schema_version"]["major"] = 99

    assert "it was written by torch 9.1.0" in refusal(edit(path, {MODEL: newer}))
    for data in (b"", whole[: len(whole) // 2], b"no archive", whole[:-3]):
        path.write_bytes(data)
        assert "is damaged, or no exported program" in refusal(path)
    path.write_bytes(whole)

    def resized(model: dict[str, Any]) -> None:
        model["graph_module"]["graph"]["tensor_values"]["p_body_weight"]["sizes"][0] = {"as_int": 9}

    assert "tensor body.weight is torch.float32 [8, 8, 3, 3]" in refusal(edit(path, {MODEL: resized}))
    assert "cannot be read" in refusal(tmp_path)
