"""Parts of a component of which a proof needs nothing: their outputs are anything in every cycle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest.mock import patch

from amaranth import Module, Value
from amaranth.asserts import AnySeq
from amaranth.lib import wiring
from amaranth.lib.wiring import Out


def unknown(component: type[wiring.Component]) -> type[wiring.Component]:
    """The component with the same ports, and anything on those that go out."""

    def elaborate(self: wiring.Component, platform: object) -> Module:
        m = Module()
        for _, member, port in self.signature.flatten(self):
            if member.flow == Out:
                value = Value.cast(port)
                m.d.comb += value.eq(AnySeq(len(value)))
        return m

    return type(component.__name__, (component,), {"elaborate": elaborate})


@contextmanager
def unknown_parts(module: ModuleType, *names: str) -> Iterator[None]:
    """Meanwhile the components ``names`` that ``module`` makes are unknown."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(module, name, unknown(getattr(module, name))))
        yield
