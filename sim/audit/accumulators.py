"""The audit of the accumulators' pipeline: two updates of an entry need ACCUMULATOR_LATENCY cycles between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ACCUMULATOR_BANKS
from gatewright.contract.isa import Opcode
from gatewright.contract.timing import ACCUMULATOR_LATENCY, array_latency
from gatewright.sim.fast import array, work
from gatewright.sim.fast.kernels import entry, sources_fingerprint
from gatewright.sim.fast.sequencer import DONE
from gatewright.sim.fast.sizes import ceil_div
from gatewright.sim.fast.state import Geometry

_MATMUL = int(Opcode.MATMUL)


def quick_accumulations(
    geometry: Geometry,
    executed: npt.NDArray[np.int64],
    done: npt.NDArray[np.int64],
    trace: npt.NDArray[np.int64],
) -> list[tuple[int, int]]:
    """The first pair (earlier, later) of MATMULs of which the later adds to an entry too soon, or nothing."""
    found = np.zeros(2, np.int64)
    latency = array_latency(geometry.rows, geometry.columns)
    if _find(geometry, executed, done, trace, latency, found):
        return [(int(found[0]), int(found[1]))]
    return []


def _find_kernel(fingerprint: str) -> Callable[..., bool]:
    @entry
    def find(
        geometry: Geometry,
        executed: npt.NDArray[np.int64],
        done: npt.NDArray[np.int64],
        trace: npt.NDArray[np.int64],
        latency: int,
        found: npt.NDArray[np.int64],
    ) -> bool:
        assert fingerprint
        updated = np.full((ACCUMULATOR_BANKS, geometry.accumulator_depth), -ACCUMULATOR_LATENCY, np.int64)
        updater = np.full((ACCUMULATOR_BANKS, geometry.accumulator_depth), -1, np.int64)
        for at in range(len(executed)):
            row, sizes = executed[at], done[at]
            if row[0] != _MATMUL or sizes[work.BLOCKS] == 0:
                continue
            filters_stand = row[array.STATIONARY] == array.FILTERS
            still = sizes[work.FILTERS] if filters_stand else sizes[work.PIXELS]
            streamed = sizes[work.PIXELS] if filters_stand else sizes[work.FILTERS]
            one_by_one = filters_stand and array.scattered(row)
            vectors_per_cycle = 1 if one_by_one else geometry.load_vectors
            bank = row[array.BANK]
            stream = trace[at, DONE] - latency - sizes[work.CYCLES]
            for block in range(sizes[work.BLOCKS]):
                for one_slice in range(sizes[work.SLICES]):
                    first = row[array.ACCUMULATOR] + block * streamed
                    for time in range(streamed):
                        soon = stream + time < updated[bank, first + time] + ACCUMULATOR_LATENCY
                        if soon and (row[array.ACCUMULATE] or one_slice > 0):
                            found[0], found[1] = updater[bank, first + time], at
                            return True
                        updated[bank, first + time] = stream + time
                        updater[bank, first + time] = at
                    following = block if one_slice + 1 < sizes[work.SLICES] else block + 1
                    vectors = min(geometry.columns, still - following * geometry.columns)
                    stream += max(streamed, ACCUMULATOR_LATENCY, ceil_div(vectors, vectors_per_cycle))
        return False

    return find


_find = _find_kernel(sources_fingerprint(audit=True))
