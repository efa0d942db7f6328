"""The compiler's face: a quantised network on an architecture, compiled per sample, for every sample, or densely."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.lower import lower, lower_live
from gatewright.compiler.graph.graph import Decisions, QuantisedGraph
from gatewright.compiler.graph.verify import verify_quantised
from gatewright.compiler.interleave.group import Measure, Request, compile_group
from gatewright.compiler.kinds.convolution import QuantisedConv
from gatewright.compiler.kinds.exit import QuantisedExit
from gatewright.compiler.kinds.gate import QuantisedGate
from gatewright.compiler.kinds.interpolation import QuantisedInterpolation
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.contract.arch import ArchConfig
from gatewright.contract.errors import GatewrightError
from gatewright.contract.program import Program


class Compiler:
    """Compiles one network for one architecture; weights are laid out once.

    Raises ``GatewrightError`` where the network breaks a rule of ``verify_quantised`` or does not fit.
    """

    def __init__(self, graph: QuantisedGraph, arch: ArchConfig) -> None:
        self.graph, self.arch = graph, arch
        verify_quantised(graph)
        self.image = NetworkImage(graph, arch)

    def compile(self, decisions: Decisions, sample: npt.NDArray[np.int8] | None = None) -> Program:
        """The program for a sample whose gates decide as given (none for a network without gates).

        It ends behind the early exit at which the sample leaves.
        """
        return lower(self.image, decisions, sample)

    def compile_group(self, request: Request, measure: Measure) -> Program:
        """The program for several images, of which some are on the machine at the same time."""
        if any(isinstance(layer, QuantisedExit) for layer in self.graph.layers):
            raise GatewrightError("images of a network with early exits end alone; compile it for one image at a time")
        if any(isinstance(layer, QuantisedInterpolation) for layer in self.graph.layers):
            raise GatewrightError(
                "an interpolation's filters are a map that lies in DRAM, at one place for all images; compile the "
                "network for one image at a time"
            )
        return compile_group(self.graph, self.arch, request, measure)

    def compile_live(self) -> Program:
        """The program for every sample: the machine decides its gates."""
        gated = any(isinstance(layer, QuantisedGate) for layer in self.graph.layers)
        picked = any(bank.picked for bank in self.image.banks.values())
        grouped = any(isinstance(layer, QuantisedConv) and layer.groups > 1 for layer in self.graph.layers)
        otherwise = gated and (self.image.blocks or self.image.spilled or self.image.passes or picked or grouped)
        return lower_live(NetworkImage(self.graph, self.arch, live=True) if otherwise else self.image)
