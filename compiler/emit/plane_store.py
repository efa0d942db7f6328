"""What an EPILOGUE writes of a map in planes: an instruction for each plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatewright.compiler.emit.placed_maps import OutputMap
from gatewright.contract.isa import Stationary


def in_planes(output: OutputMap, sizes: dict[str, int], columns: int) -> Iterator[tuple[OutputMap, dict[str, int]]]:
    """The parts of a product's results that lie in one plane, with the first entry of the accumulators that has them.

    Of standing filters whole blocks of the array are in a plane. Of standing pixels each filter has its entry; a part
    of the filters is one of each block of pixels. Filters and parameters of a part count from 0.
    """
    if not output.planes:
        yield output, sizes
        return
    shift, pixels, count = output.first_channel or 0, sizes["pixel_count"], sizes["filter_count"]
    first = sizes["first_filter"] + shift
    for plane in output.planes:
        low, high = max(first, plane.first), min(first + count, plane.first + plane.count)
        if low >= high:
            continue
        parameters = output.parameters + low - shift
        one = replace(
            output, planes=(), plane=plane, first_channel=low - plane.first, channels=plane.count, parameters=parameters
        )
        part = sizes | {"first_filter": 0, "filter_count": high - low}
        if high - low == count:
            yield one, part
        elif sizes["stationary"] == Stationary.FILTERS:
            assert (low - first) % columns == 0, "filters of a block of the array write to one plane"
            yield one, part | {"accumulator": (low - first) // columns * pixels}
        else:
            for block in range(0, pixels, columns):
                yield (
                    one,
                    part
                    | {
                        "first_pixel": sizes["first_pixel"] + block,
                        "pixel_count": min(columns, pixels - block),
                        "accumulator": block // columns * count + low - first,
                    },
                )
