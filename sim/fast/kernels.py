"""How the simulator's loops are compiled.

``kernel`` compiles a function that other kernels call; called from Python it is plain Python. ``entry`` compiles one
that Python calls, and keeps the machine code on disk for the next process. Numba looks only at the file of the function
it caches, not at the functions and constants that were compiled into it; so every entry carries a fingerprint of all
these sources, and a change in any of them makes it compile again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from numba.core import event
from numba.extending import register_jitable

from gatewright.contract.sources import sources_digest

_Bytes = npt.NDArray[np.int8] | npt.NDArray[np.uint8]
_Function = TypeVar("_Function", bound=Callable[..., Any])
_log = logging.getLogger(__name__)
_entries: list[Callable[..., Any]] = []


def kernel(function: _Function) -> _Function:
    """Compile for use inside other kernels.

    Without the wrappers that Python would call: those unpack the state, array by array, and took numba a third longer.
    """
    return register_jitable(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def inlined(function: _Function) -> _Function:
    """Compile into the kernels that call it. A call would count the references to each array of the state."""
    return cast(_Function, numba.njit(function, inline="always"))


def entry(function: _Function) -> _Function:
    """Compile for use from Python, with the machine code cached on disk.

    ``function`` must be a closure over ``sources_fingerprint()``: numba's cache key covers closures.
    """
    assert function.__closure__ is not None, f"{function.__name__} does not close over the sources' fingerprint"
    _entries.append(function)
    return cast(_Function, numba.njit(function, cache=True))


class _Teller(event.Listener):
    """Says once in a process that kernels are compiled, and not read from disk: somebody waits for it."""

    def __init__(self) -> None:
        self.told = False

    def on_start(self, event: event.Event) -> None:
        if not self.told and event.data["dispatcher"].py_func in _entries:
            self.told = True
            _log.info("compile the simulator: once, and kept for the next runs; this takes up to a minute")

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", _Teller())


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
