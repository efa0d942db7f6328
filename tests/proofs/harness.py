"""What stands around a component in a proof: free inputs, assumptions, and the properties to prove."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from amaranth import Module, ResetSignal, Signal, Value
from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cover, ShapeLike
from amaranth.lib import wiring

TOP = "proof"

_NAMED = re.compile(r'cell \$check \$\d+\n(\s*)parameter \\FORMAT "(\w+)"')


class Aim(Enum):
    """``PROVE``: properties, with invariants. ``SEARCH``: properties alone. ``REACH``: what is to come true."""

    PROVE = "prove"
    SEARCH = "bmc"
    REACH = "cover"


class Harness:
    """The module ``m`` with a reset in its first cycle, before which every register holds anything.

    It may be reset in any later cycle too. A property holds in every cycle but the first.
    """

    def __init__(self, *, resets: bool = True) -> None:
        self.m = Module()
        self._properties: dict[str, Any] = {}
        self._invariants: dict[str, Any] = {}
        self._covers: dict[str, Any] = {}
        self.reset = Signal()
        first = Signal()
        self.m.d.comb += [self.reset.eq(ResetSignal("sync")), first.eq(Initial())]
        self._first = first
        self.m.d.comb += Assume(self.reset == first if not resets else self.reset | ~first)

    def any(self, shape: ShapeLike, name: str) -> Any:
        """A value that may be another one in every cycle."""
        value = Signal(shape, name=name)
        self.m.d.comb += Value.cast(value).eq(AnySeq(len(Value.cast(value))))
        return value

    def constant(self, shape: ShapeLike, name: str) -> Any:
        """A value that may be any one, and stays."""
        value = Signal(shape, name=name)
        self.m.d.comb += Value.cast(value).eq(AnyConst(len(Value.cast(value))))
        return value

    def free(self, *ports: Any) -> None:
        """Drive inputs of a component, or interfaces with inputs alone, with anything in every cycle."""
        for port in ports:
            whole = isinstance(port, wiring.PureInterface | wiring.FlippedInterface)
            for part in [part for *_, part in port.signature.flatten(port)] if whole else [port]:
                value = Value.cast(part)
                self.m.d.comb += value.eq(AnySeq(len(value)))

    def assume(self, condition: Any) -> None:
        """What the surroundings promise."""
        self.m.d.comb += Assume(condition)

    def check(self, name: str, condition: Any) -> None:
        """The property ``name``: ``condition`` is true in every cycle from the reset on."""
        assert name.isidentifier() and name not in self._properties, name
        self._properties[name] = condition

    def invariant(self, name: str, condition: Any) -> None:
        """Something true of the registers within, without which induction does not see why a property holds."""
        assert name.isidentifier() and name not in self._invariants, name
        self._invariants[name] = condition

    def cover(self, name: str, condition: Any) -> None:
        """``condition`` can come true: what is assumed leaves room for the case that matters."""
        assert name.isidentifier() and name not in self._covers, name
        self._covers[name] = condition

    def before(self, value: Any, name: str) -> Any:
        """``value`` of the cycle before, 0 (or a layout of zeros) behind a reset."""
        shape = value.shape() if isinstance(value, Value) else type(value).shape(value)
        register = Signal(shape, name=name)
        self.m.d.sync += register.eq(value)
        return register

    def steady(self, value: Any, name: str) -> Any:
        """Whether ``value`` is that of the cycle before, and that was no reset."""
        known = Signal(name=f"{name}_known")
        self.m.d.sync += known.eq(1)
        return known & (value == self.before(value, f"{name}_before"))

    def netlist(self, aim: Aim) -> str:
        """RTLIL, with each property's cell under its name; once only."""
        wanted = dict(self._covers if aim == Aim.REACH else self._properties)
        if aim == Aim.PROVE:
            wanted |= {f"invariant_{name}": condition for name, condition in self._invariants.items()}
        for name, condition in wanted.items():
            if aim == Aim.REACH:
                self.m.d.comb += Cover(condition & ~self._first, name)
            else:
                self.m.d.comb += Assert(condition | self._first, name)
        text = rtlil.convert(self.m, name=TOP, ports=[], emit_src=False)
        named, count = _NAMED.subn(r'cell $check \\property:\2\n\1parameter \\FORMAT ""', text)
        assert count == len(wanted), f"{count} of {len(wanted)} properties named"
        return named
