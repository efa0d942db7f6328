"""How the simulator's loops are compiled.

``kernel`` compiles a function that other kernels call. ``entry`` compiles one that Python calls, and
keeps the machine code on disk for the next process. Numba looks only at the file of the function it
caches, not at the functions and constants that were compiled into it; so every entry carries a
fingerprint of all these sources, and a change in any of them makes it compile again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from gatewright.contract.sources import sources_digest

_Bytes = npt.NDArray[np.int8] | npt.NDArray[np.uint8]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile for use inside other kernels."""
    return cast(_Function, numba.njit(function))


def inlined(function: _Function) -> _Function:
    """Compile into the kernels that call it. A call would count the references to each array of the state."""
    return cast(_Function, numba.njit(function, inline="always"))


def entry(function: _Function) -> _Function:
    """Compile for use from Python, with the machine code cached on disk.

    ``function`` must be a closure over ``sources_fingerprint()``: numba's cache key covers closures.
    """
    assert function.__closure__ is not None, f"{function.__name__} does not close over the sources' fingerprint"
    return cast(_Function, numba.njit(function, cache=True))


def sources_fingerprint(audit: bool = False) -> str:
    """A digest of everything that is compiled into the kernels; with ``audit`` of the audit's as well."""
    folders = ("contract", "sim/fast", "sim/audit") if audit else ("contract", "sim/fast")
    return sources_digest(*folders, salt=numba.__version__)


@kernel
def copy_bytes(target: _Bytes, at: int, source: _Bytes, start: int, count: int) -> None:
    """Copy ``count`` bytes between flat arrays. Unsigned indices: signed ones may wrap, and do not vectorise."""
    first_target, first_source = np.uintp(at), np.uintp(start)
    for offset in range(np.uintp(count)):
        target[first_target + offset] = source[first_source + offset]
