"""The images with the least and the most work, and where on them it goes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gatewright.contract.errors import GatewrightError
from gatewright.measure.gate_statistics import cost_map
from gatewright.measure.records import ImageRecord

SHOWN = 3
"""Images with the least work, and as many with the most."""

UNITS: dict[str, str] = {"alike": "images", "blocks": "blocks", "cost": "blocks"}
"""Of the keys that no other part of a report has; the last two where a spatial gate has more than one tile."""


def easy_and_hard(images: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    """Up to ``SHOWN`` images with the ``least`` ``work``, by MACs, and with the ``most``; of equals the earliest.

    Empty of a network without gates and exits; a single image is one with the least. ``alike`` is how many images take
    as many MACs. ``cost`` is the cost map and ``blocks`` its top, None without spatial gates of more than one tile.
    """
    if not images[0].run.blocks:
        return []
    order = sorted(images, key=lambda image: image.run.macs)
    backwards = sorted(images, key=lambda image: -image.run.macs)
    half = len(order) // 2
    least, most = order[: min(SHOWN, len(order) - half)], backwards[: min(SHOWN, half)]
    return [_row(image, "least", images) for image in least] + [_row(image, "most", images) for image in most]


def _row(image: ImageRecord, work: str, images: Sequence[ImageRecord]) -> dict[str, Any]:
    all_gates = max((other.run.gates for other in images), key=len)  # an image that leaves early does not see them
    spatial = [gate for gate in all_gates if gate.kind == "spatial"]
    pixels, cost = image.image, None
    if pixels is not None and any(gate.decision.size > 1 for gate in spatial):
        cost = cost_map(image.run.gates, pixels.shape[0], pixels.shape[1]).tolist()
    return {
        "work": work,
        "index": int(image.index),
        "alike": sum(other.run.macs == image.run.macs for other in images),
        "image_png": None if pixels is None else _png(image.index, pixels),
        "blocks": None if cost is None else len(spatial),
        "cost": cost,
    }


def _png(index: int, pixels: npt.NDArray[np.uint8]) -> str:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise GatewrightError(f"image {index} must be uint8 [height, width, 3] to be shown")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
