"""Images alone beside images in flight: rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

UNITS = {"cycles_image": "cycles", "latency_mean": "cycles", "latency_most": "cycles", "images_per_second": "1/s"}


class SharingRow(TypedDict):
    """How one way of running images does. ``cycles_image``: all cycles by all images; latencies of single images.

    ``speedup`` is that over the dense network, alone, ``kept`` its share of what the multiply-accumulates promise.
    """

    name: str
    images: int
    cycles_image: float
    images_per_second: float
    speedup: float
    kept: float
    latency_mean: float
    latency_most: int


def sharing_row(
    name: str, cycles: int, latencies: Sequence[int], clock_mhz: int, dense: int, promise: float
) -> SharingRow:
    """``cycles`` of all images, ``dense`` of the dense network; ``promise``: its MACs by the images' mean."""
    each = cycles / len(latencies)
    return SharingRow(
        name=name,
        images=len(latencies),
        cycles_image=each,
        images_per_second=clock_mhz * 1e6 / each,
        speedup=dense / each,
        kept=dense / each / promise,
        latency_mean=sum(latencies) / len(latencies),
        latency_most=max(latencies),
    )
