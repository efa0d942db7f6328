"""What the parts of the lowering share: the program in the making and the gates decided so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gatewright.compiler.emit.decided_gate import DecidedGate
from gatewright.compiler.emit.emit import Emitter
from gatewright.compiler.emit.postponed import PostponedStores
from gatewright.compiler.graph.graph import Decisions
from gatewright.compiler.kinds.interpolation import QuantisedInterpolation
from gatewright.compiler.plan.layout import IMAGE_ALIGNMENT
from gatewright.compiler.plan.network_image import NetworkImage
from gatewright.compiler.plan.operand_ring import Ring
from gatewright.contract.arch import ACCUMULATOR_BANKS, OPERAND_BANKS
from gatewright.contract.errors import GatewrightError
from gatewright.contract.isa import FORMATS, Opcode
from gatewright.contract.program_parts import GateRecord

EARLIER = 4
"""How much sooner than a live step's work what comes beside it is moved: towards the lists' ends there may be none."""

LIVE_PAGES_AHEAD = 3
"""Pages of instructions that a live program has on chip ahead: what a SKIP leaves out has to be there."""


def pages_ahead(live: bool) -> int:
    """Pages of instructions that a program has on chip ahead."""
    return LIVE_PAGES_AHEAD if live else 1


@dataclass
class Listings:
    """Tables that a program brings from DRAM, behind what all programs of the network share: from ``begin`` on."""

    begin: int
    data: list[npt.NDArray[np.uint8]] = field(default_factory=list)

    def add(self, entries: npt.NDArray[np.uint16]) -> int:
        """Lay a table out behind those before it; returns its DRAM address."""
        address = self.begin + sum(map(len, self.data))
        data = entries.astype("<u2").view(np.uint8)
        self.data.append(np.pad(data, (0, -len(data) % IMAGE_ALIGNMENT)))
        return address


def addressable_words(words: int, field_name: str) -> int:
    """The words of an operand buffer that MATMUL can name: a machine of few rows has more, narrower ones."""
    (bits,) = (field.bits for field in FORMATS[Opcode.MATMUL].fields if field.name == field_name)
    return min(words, OPERAND_BANKS << bits)


class Context:
    """One program in the making."""

    def __init__(
        self, image: NetworkImage, decisions: Decisions, live: bool, out: Emitter | None, listings: Listings | None
    ) -> None:
        self.image, self.graph, self.arch = image, image.graph, image.arch
        self.decisions, self.live = decisions, live
        self.out = Emitter(self.arch, pages_ahead(live)) if out is None else out
        self.gates: dict[str, DecidedGate] = {}
        self.records: list[GateRecord] = []
        self.macs: dict[str, int] = {}
        self.patches = Ring(addressable_words(self.arch.patch_words, "patch_base"), "patch buffer")
        self.not_stored = {layer.name for layer in self.graph.layers if isinstance(layer, QuantisedInterpolation)}
        """Layers whose filters are a map that the program has not brought to DRAM yet."""
        self.listings = Listings(len(image.static_image)) if listings is None else listings
        self.bank = 0
        self._kept_banks: set[int] = set()
        self.idle_port = 0
        """About the array's cycles so far, less those for which the epilogue has the scratchpad's port."""
        self.beside: Callable[[], None] = lambda: None
        """Called behind every EPILOGUE that writes a part of a map: before the next, others may use its port."""
        self.postponed = PostponedStores(self.out)
        self.rows_there: dict[tuple[str, ...], int] = {}
        """Of maps in DRAM so many of the first rows have been brought for the next pass over them."""
        self._unread: dict[int, str] = {}
        self._serial = 0

    def gate(self, name: str | None) -> DecidedGate | None:
        """The gate of that name, which must have been decided; None for no name."""
        return None if name is None else self.gates[name]

    def take_patches(self, words: int) -> int:
        """A region of the patch ring. The oldest whose products are emitted give way (they are waited for)."""
        self._serial += 1
        name = f"a chunk of {self.out.layer} ({self._serial})"
        while (base := self.patches.take(name, words)) is None:
            oldest = next((region for region in self.patches.live if region not in self._unread.values()), None)
            if oldest is None:
                raise GatewrightError(
                    f"arch {self.arch.name}: the patch buffer of {self.arch.patch_kib} KiB cannot hold a chunk of "
                    f"{self.out.layer} beside those that wait for their product; raise patch_kib"
                )
            self.patches.release(oldest)
        self._unread[base] = name
        self.out.begin_region("patch", *self.patches.live[name])
        return base

    def patches_multiplied(self, base: int) -> None:
        """The last MATMUL of the region that begins at a word is emitted: it may give way."""
        del self._unread[base]

    def may_gather_ahead(self, words: int) -> bool:
        """Whether ``take_patches`` would find room beside the regions that wait for their product."""
        return self.patches.place(words, self._unread.values()) is not None

    def may_begin_early(self, words: int) -> bool:
        """Whether a reader of a map that is still being written may hold a region while the writer's
        chunks go through the rest of the buffer."""
        waiting = sum(high - low for low, high in (self.patches.live[name] for name in self._unread.values()))
        return waiting + words <= self.patches.size // 2 and self.may_gather_ahead(words)

    def next_bank(self) -> int:
        """The accumulator bank of the next MATMUL: the banks take turns, but for those that are kept."""
        for _ in range(ACCUMULATOR_BANKS):
            self.bank = (self.bank + 1) % ACCUMULATOR_BANKS
            if self.bank not in self._kept_banks:
                self.out.begin_region("accumulator", self.bank, self.bank + 1)
                return self.bank
        raise AssertionError("every accumulator bank is kept")

    def keep_bank(self) -> int:
        """The next accumulator bank, out of turn until ``release_bank``: other products come between its own."""
        bank = self.next_bank()
        self._kept_banks.add(bank)
        return bank

    def release_bank(self, bank: int) -> None:
        """Let a bank take its turns again; the next product is one of its own."""
        self._kept_banks.remove(bank)
        self.bank = bank
