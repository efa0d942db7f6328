"""The registers and memories within a component, for invariants that its ports do not show."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from amaranth import Signal
from amaranth.hdl import Fragment
from amaranth.lib import memory, wiring

from gatewright.contract.errors import GatewrightError


class Inside:
    """A component, elaborated into ``fragment``, with the local variables of its methods and of those below it.

    A signal of Amaranth may be read from anywhere in the design, so the component stays as it is. Each memory gets
    one more read port without delay, for the proof alone.
    """

    def __init__(self, component: wiring.Component) -> None:
        self._locals: dict[tuple[int, str], dict[str, Any]] = {}
        self._ports: dict[int, Any] = {}
        self._owners: list[wiring.Component] = []
        before = sys.getprofile()
        sys.setprofile(self._note)
        try:
            self.fragment: Fragment = Fragment.get(component, None)
        finally:
            sys.setprofile(before)

    def of(self, component: wiring.Component, name: str) -> Any:
        """The local variable ``name`` of one of the component's methods; where several have it, ``method.name``."""
        method, _, variable = name.rpartition(".")
        found = self._locals.get((id(component), variable), {})
        values = [value for of, value in found.items() if method in ("", of)]
        if not values or any(value is not values[0] for value in values):
            raise GatewrightError(
                f"{type(component).__name__} has {len(values)} variables {name} in {', '.join(found) or 'no method'}; "
                "bring the proof up to date with the component"
            )
        return values[0]

    def all_of(self, component: wiring.Component) -> dict[str, Any]:
        """The signals that the component's methods made, by the names that they gave them."""
        return {signal.name: signal for signal in _driven(self.fragment) if isinstance(signal, Signal)}

    def port(self, component: wiring.Component, name: str) -> Any:
        """The added read port of the memory that ``name`` is: ``addr`` in, ``data`` out."""
        return self._ports[id(self.of(component, name))]

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event != "return":
            return
        owner = frame.f_locals.get("self")
        if not isinstance(owner, wiring.Component) or frame.f_code.co_name.startswith("__"):
            return
        self._owners.append(owner)
        for name, value in frame.f_locals.items():
            if isinstance(value, memory.Memory) and id(value) not in self._ports:
                self._ports[id(value)] = value.read_port(domain="comb")
            self._locals.setdefault((id(owner), name), {})[frame.f_code.co_name] = value


def _driven(fragment: Fragment) -> list[Signal]:
    signals = [signal for list_ in fragment.statements.values() for one in list_ for signal in one._lhs_signals()]
    for below, *_ in fragment.subfragments:
        signals += _driven(below)
    return signals
