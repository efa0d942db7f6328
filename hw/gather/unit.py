"""GATHER, the dynamic index module: it forms im2col vectors of the tiles that a table lists, and of no others.

Stages: 0 counters and the scratchpad's request, 1 bank addresses, 2 bank, 3 output register and rotation, 4 aligned
bytes and lane masks, 5 masked bytes, 6 moved to their lanes, 7 the patch buffer's write.
"""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gatewright.contract.arch import PORT_BYTES, ArchConfig
from gatewright.contract.isa import Unit
from gatewright.contract.timing import DECODE_LATENCY, GATHER_LATENCY
from gatewright.hw.control.signatures import head_signature, progress_signature
from gatewright.hw.gather.address import GatherAddress
from gatewright.hw.gather.prepare import GatherPrepare, gather_sizes
from gatewright.hw.gather.source_mask import GatherMask
from gatewright.hw.gather.tile_place import TilePlacer
from gatewright.hw.gather.walk import GatherWalk
from gatewright.hw.gather.write import GatherWrite
from gatewright.hw.signatures import (
    SCRATCHPAD_READ,
    mask_read_columns,
    patch_write,
    scratchpad_read,
    table_counts,
    table_read,
)

assert GatherPrepare.LATENCY + 1 <= DECODE_LATENCY
assert GATHER_LATENCY == SCRATCHPAD_READ + 4


class GatherUnit(wiring.Component):
    """One instruction at a time: ``start`` in the cycle in which it is taken, ``retire`` with its last write.

    While the unit is free, its registers ``running`` follow what ``GatherPrepare`` says of the queue's head, so that
    they hold the instruction in the cycle in which it is taken; the walk begins in that cycle. ``error``: the
    instruction that is taken begins inside a kernel row whose pixels lie apart. Only here the table is known that may
    say how long a kernel row is.
    """

    MEMORY_PORTS: ClassVar = {
        "tiles": "tables.gather",
        "mask": "masks.gather",
        "scratchpad": "scratchpad.gather",
        "patch": "patch_buffer.write",
    }

    def __init__(self, arch: ArchConfig) -> None:
        self._arch = arch
        super().__init__(
            {
                "queue": Out(head_signature(Unit.GATHER)),
                "progress": Out(progress_signature()),
                "error": Out(1),
                "counts": In(table_counts(arch)),
                "tiles": Out(table_read()),
                "mask": Out(mask_read_columns()),
                "scratchpad": Out(scratchpad_read(PORT_BYTES)),
                "patch": Out(patch_write(arch)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.prepare = prepare = GatherPrepare(self._arch)
        m.submodules.placer = placer = TilePlacer(self._arch)
        m.submodules.walk = walk = GatherWalk(self._arch)
        m.submodules.address = address = GatherAddress(self._arch)
        m.submodules.lanes = lanes = GatherMask(self._arch)
        m.submodules.write = write = GatherWrite(self._arch)

        take, busy = Signal(), Signal()
        running = Signal(gather_sizes(self._arch), reset_less=True)
        stages = Signal(GATHER_LATENCY)
        retire = stages[-1]
        with m.If(take | retire):
            m.d.sync += busy.eq(take)
        with m.If(~busy | retire):
            m.d.sync += running.eq(prepare.sizes)
        m.d.comb += take.eq(~busy & self.queue.valid & self.queue.waits_met)
        # Without work the end enters the pipeline a stage farther on.
        m.d.sync += stages.eq(Cat(walk.final, stages[0] | (take & running.nothing), stages[1:]))
        m.d.comb += [
            self.queue.take.eq(take),
            self.error.eq(take & running.inside_row & ~running.nothing),
            self.progress.start.eq(take),
            self.progress.run.eq(take),
            self.progress.retire.eq(retire),
            prepare.head.eq(self.queue.head),
            prepare.counts.eq(self.counts),
            placer.of_head.eq(walk.last_tile | ~running.use_table),
            placer.position.eq(walk.position),
            placer.coming.eq(prepare.sizes),
            placer.running.eq(running),
            placer.place.eq(self.queue.head.place),
            walk.take.eq(take),
            walk.coming.eq(prepare.sizes),
            walk.running.eq(running),
            walk.next_y.eq(placer.y),
            walk.next_x.eq(placer.x),
            address.valid.eq(walk.valid),
            address.final.eq(walk.final),
            address.advance.eq(walk.piece.advance),
            address.running.eq(running),
            address.y.eq(walk.piece.y),
            address.placed.eq(placer.address),
            address.placed_row.eq(placer.next_row),
            lanes.piece.eq(walk.piece),
            lanes.running.eq(running),
            write.valid.eq(walk.valid),
            write.piece.eq(walk.piece),
            write.running.eq(running),
        ]
        wiring.connect(m, wiring.flipped(self.tiles), placer.tiles)
        wiring.connect(m, wiring.flipped(self.mask), lanes.mask)
        wiring.connect(m, wiring.flipped(self.patch), write.patch)

        reading = Signal()
        bits = 8 * self._arch.gather_bytes
        masked = Signal(bits, reset_less=True)
        kept = Cat(bit.replicate(8) for bit in lanes.kept)
        m.d.sync += [reading.eq(walk.valid), masked.eq(self.scratchpad.data.as_value()[:bits] & kept)]
        m.d.comb += [
            self.scratchpad.valid.eq(reading),
            self.scratchpad.address.eq(address.address),
            write.bytes.eq(masked),
        ]
        return m
