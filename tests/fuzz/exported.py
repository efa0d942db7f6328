"""Damaged exported programs and their calibrations: refused, or networks that quantise."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.contract.errors import GatewrightError
from gatewright.models.zoo.catalogue import sha256
from gatewright.own_network import calibrate_own, calibration_path, load_own
from tests.fuzz.damage import Random, cut, damage_json, flip_bits, pick
from tests.support.exported import MODEL, WEIGHTS, export, gated, write_arrays


@cache
def _files() -> tuple[bytes, dict[str, Any]]:
    """A program's file, and its calibration."""
    with tempfile.TemporaryDirectory() as folder:
        path = export(gated(), Path(folder) / "own.pt2")
        calibrate_own(path, write_arrays(Path(folder) / "images", 16), 16)
        return path.read_bytes(), json.loads(calibration_path(path).read_text())


def run_exported(rng: Random, folder: Path) -> str:
    """Damage a program or a calibration; most programs have CRCs and digest made right."""
    data, calibration = _files()
    path = folder / "own.pt2"
    kind = int(rng.integers(10))
    path.write_bytes(_damaged(rng, data) if kind < 7 else data)
    digest = {**calibration, "program": sha256(path)}
    calibration_path(path).write_text(damage_json(rng, digest) if kind >= 7 else json.dumps(digest))
    try:
        spec, graph, quantised = load_own(path)
        images = np.zeros((1, *spec.data.load(_image(folder, graph), "test").images.shape[1:]), np.uint8)
        assert np.isfinite(spec.data.normalise(images)).all()
    except GatewrightError as error:
        assert "\n" not in str(error), error
        return "refused"
    assert all(np.isfinite(scale) for scale in quantised.scales.values())
    return "accepted"


def _image(folder: Path, graph: Any) -> Path:
    shape = graph.shapes[graph.input]
    return write_arrays(folder / "images", 1, shape.channels, shape.height)


def _damaged(rng: Random, data: bytes) -> bytes:
    """Bits and ends of the file, or of a record, or other values in its JSON."""
    kind = int(rng.integers(6))
    if kind < 2:
        return pick(rng, [flip_bits, cut])(rng, data)
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        wanted = pick(rng, [MODEL, MODEL, WEIGHTS])
        chosen = pick(rng, names) if kind == 2 else next(name for name in names if name.endswith(wanted))
        for name in names:
            record = old.read(name)
            if name == chosen:
                edited = kind > 2 and name.endswith(".json")
                record = damage_json(rng, json.loads(record)).encode() if edited else flip_bits(rng, record)
            new.writestr(name, record)
    return stream.getvalue()
