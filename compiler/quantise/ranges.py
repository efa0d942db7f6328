"""Activation ranges: the magnitude of each tensor that becomes 127, their file, and what must hold of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from gatewright.compiler.graph.graph import FloatGraph
from gatewright.compiler.kinds.classifier import Classifier
from gatewright.compiler.kinds.pooling import pooled_name
from gatewright.compiler.quantise.streams import pooling_tiles, residual_streams
from gatewright.contract.errors import GatewrightError
from gatewright.contract.formats import RANGES
from gatewright.contract.schema import format_of, load_json, parse, show

SMALLEST, LARGEST = 2.0**-126, 2.0**127
"""Activations are float32; below its normal numbers nothing has 127 levels."""

Range = Annotated[float, Interval(ge=SMALLEST, le=LARGEST)]

FIX = RANGES.fix


@dataclass(frozen=True)
class RangesFile:
    """What a file of ranges holds; version 1 is ``ranges`` alone."""

    format: str
    ranges: dict[str, Range]


def read_ranges(path: Path) -> dict[str, float]:
    """The ranges by tensor of a file; a damaged one, or a value that is no positive number, is an error."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise GatewrightError(f"activation ranges {path} cannot be read ({error.strerror}); {FIX}") from error
    what = f"activation ranges {path} are damaged"
    data = load_json(text, what, FIX)
    if RANGES.check(format_of(data), f"file of activation ranges {path}") == 1:
        return parse(dict[str, Range], data, what, FIX)
    return parse(RangesFile, data, what, FIX).ranges


def save_ranges(path: Path, ranges: Mapping[str, float]) -> None:
    """Write ranges, with six digits; the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    found = RangesFile(RANGES.name, {name: float(f"{value:.6g}") for name, value in ranges.items()})
    partial.write_text(json.dumps(asdict(found), indent=1) + "\n")
    partial.replace(path)


def tensors_with_a_range(graph: FloatGraph) -> Iterator[str]:
    """Feature maps, the pooled maps that gates look at, and the hidden layers of channel gates."""
    yield graph.input
    tiles = pooling_tiles(graph)
    for layer in graph.layers:
        if isinstance(layer, Classifier):
            continue  # logits stay int32
        for tensor in layer.writes:
            yield tensor
            if tensor in tiles:
                yield pooled_name(tensor)


def check_ranges(ranges: Mapping[str, float], graph: FloatGraph) -> None:
    """Raise a ``GatewrightError`` unless ranges are those of this graph's tensors.

    Every tensor has a positive one and no other name does. Pooled maps of a residual stream share one: a tile that
    is skipped keeps the average that an earlier map of the stream left.
    """
    names = list(tensors_with_a_range(graph))
    for name in names:
        value = ranges.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or not number or not SMALLEST <= value <= LARGEST:
            raise GatewrightError(f"tensor {name} has no usable range ({show(value)}); {FIX}")
    unknown = sorted(map(str, ranges.keys() - set(names)))
    if unknown:
        raise GatewrightError(f"ranges of {', '.join(unknown[:3])}: the network has no such tensors; {FIX}")
    streams, first = residual_streams(graph), dict[str, str]()
    for tensor in pooling_tiles(graph):
        name = pooled_name(tensor)
        other = first.setdefault(streams[tensor], name)
        if ranges[name] != ranges[other]:
            raise GatewrightError(
                f"tensor {name} has range {ranges[name]:g}, {other} of the same residual stream {ranges[other]:g}; "
                f"they need one; {FIX}"
            )
