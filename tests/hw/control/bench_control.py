"""The control registers over AXI4-Lite: a run's life, errors, counters, refused accesses."""

from __future__ import annotations

from typing import Any

import cocotb

from gatewright.contract.isa import Unit
from gatewright.contract.registers import IDENTIFIER, REGISTERS, ErrorCode
from gatewright.hw.control.axi_lite import OKAY, SLAVE_ERROR
from tests.support.rtl import Bench

OFFSETS = {register.name: register.offset for register in REGISTERS}
BUSY, DONE, FAILED, READY = 1, 2, 4, 8


class Host(Bench):
    """Register accesses, each over when its answer was taken."""

    async def begin(self) -> None:
        inputs = ("stopped", "quiet", "masks_busy", "fault", "fault_code", "dispatched", "entry", "starts", "retires")
        inputs += ("image",)
        channels = ("awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arvalid", "rready")
        self.set(**dict.fromkeys(inputs, 0), **{f"bus__{name}": 0 for name in channels})
        await self.reset()
        await self.step(2)

    async def write_at(self, offset: int, value: int, strobe: int = 0xF, data_delay: int = 0) -> int:
        self.set(bus__awaddr=offset, bus__awvalid=1, bus__bready=1)
        await self.step(data_delay)
        self.set(bus__wdata=value, bus__wstrb=strobe, bus__wvalid=1)
        await self.settle()
        assert self.get("bus__awready") and self.get("bus__wready")
        await self.step()
        self.set(bus__awvalid=0, bus__wvalid=0)
        assert self.get("bus__bvalid")
        response = self.get("bus__bresp")
        await self.step()
        assert not self.get("bus__bvalid")
        return response

    async def read_at(self, offset: int) -> tuple[int, int]:
        self.set(bus__araddr=offset, bus__arvalid=1, bus__rready=1)
        await self.settle()
        assert self.get("bus__arready")
        await self.step()
        self.set(bus__arvalid=0)
        while not self.get("bus__rvalid"):
            await self.step()
        value = self.get("bus__rdata"), self.get("bus__rresp")
        await self.step()
        return value

    async def write(self, name: str, value: int) -> None:
        assert await self.write_at(OFFSETS[name], value) == OKAY

    async def read(self, name: str) -> int:
        value, response = await self.read_at(OFFSETS[name])
        assert response == OKAY, name
        return value


@cocotb.test()
async def registers_keep_values_and_refuse_what_they_are_not(dut: Any) -> None:
    host = Host(dut)
    await host.begin()
    assert await host.read("ID") == IDENTIFIER
    for number, name in enumerate(("BASE", "CODE_ADDRESS", "CYCLE_LIMIT")):
        await host.write(name, 0x1000 * (number + 5))
    for number, name in enumerate(("BASE", "CODE_ADDRESS", "CYCLE_LIMIT")):
        assert await host.read(name) == 0x1000 * (number + 5)
    assert host.get("base") == 0x5000 and host.get("code_address") == 0x6000
    rings = [f"{ring}_{name}" for ring in ("INPUT", "OUTPUT") for name in ("OFFSET", "STRIDE", "SLOTS")]
    for number, name in enumerate(("IMAGES", *rings)):
        await host.write(name, 0xA_0011 * (number + 1))
    for number, name in enumerate(("IMAGES", *rings)):
        kept = 0xA_0011 * (number + 1) & (0xFFFF_FFFF if name.endswith(("OFFSET", "STRIDE")) else 0xFFFF)
        assert await host.read(name) == kept, name
        port = name.lower() if name == "IMAGES" else name.lower().replace("_", "_ring__", 1)
        assert host.get(port) == kept, name
    assert await host.write_at(OFFSETS["BASE"], 1, strobe=0x3) == SLAVE_ERROR
    assert await host.write_at(OFFSETS["ID"], 1) == SLAVE_ERROR
    assert await host.write_at(0xFC, 1) == SLAVE_ERROR
    assert (await host.read_at(0xFC))[1] == SLAVE_ERROR
    assert await host.write_at(OFFSETS["BASE"], 0x9000, data_delay=3) == OKAY
    assert await host.read("BASE") == 0x9000


@cocotb.test()
async def a_run_starts_ends_interrupts_and_counts(dut: Any) -> None:
    host = Host(dut)
    await host.begin()
    host.set(masks_busy=1)
    await host.write("CONTROL", 1)
    assert await host.read("STATUS") == 0, "a start is ignored while the masks are being cleared"
    host.set(masks_busy=0)
    await host.write("INTERRUPT_ENABLE", 1)
    host.set(bus__awaddr=OFFSETS["CONTROL"], bus__wdata=1, bus__wstrb=0xF, bus__awvalid=1, bus__wvalid=1)
    host.set(bus__bready=1)
    await host.step()
    host.set(bus__awvalid=0, bus__wvalid=0)
    assert host.get("start"), "cycle 0"
    begin = host.cycle
    host.set(starts=1 << Unit.LOAD)
    await host.step()
    assert not host.get("start")
    host.set(starts=0)
    await host.step(5)
    host.set(retires=1 << Unit.LOAD)
    await host.step()
    host.set(retires=0)
    await host.step(3)
    assert await host.read("STATUS") == BUSY
    host.set(stopped=1, dispatched=7, image=2)
    x = host.cycle - begin
    await host.step()
    host.set(stopped=0, image=3)
    assert host.get("interrupt") and host.get("clear")
    await host.step()
    assert not host.get("clear")
    host.set(image=0)
    assert await host.read("STATUS") == DONE | READY
    assert await host.read("IMAGE") == 3, "with the one that ended the run"
    assert await host.read("CYCLES") == x + 1, "the end's cycle is counted"
    assert await host.read("INSTRUCTIONS") == 7
    assert await host.read("BUSY_LOAD") == 7, "from the start's cycle to the last before the completion counts"
    assert await host.read("COMPLETED_LOAD") == 1
    assert await host.read("BUSY_ARRAY") == await host.read("COMPLETED_ARRAY") == 0
    await host.write("STATUS", DONE)
    assert not host.get("interrupt")
    assert await host.read("STATUS") == READY


@cocotb.test()
async def an_error_halts_waits_for_the_bus_and_keeps_its_code(dut: Any) -> None:
    host = Host(dut)
    await host.begin()
    await host.write("CONTROL", 1)
    host.set(fault=1, fault_code=ErrorCode.READ_BUS, dispatched=42, entry=37)
    await host.step()
    host.set(fault=0)
    assert host.get("halt") and await host.read("STATUS") == BUSY, "the bus is not quiet"
    host.set(quiet=1, dispatched=0, entry=0)
    await host.step(2)
    assert await host.read("STATUS") == FAILED | READY
    assert await host.read("ERROR_CODE") == ErrorCode.READ_BUS
    assert await host.read("ERROR_INSTRUCTION") == 42
    assert await host.read("ERROR_ENTRY") == 37
    assert not host.get("interrupt"), "not enabled"
    await host.write("CYCLE_LIMIT", 50)
    await host.write("CONTROL", 1)
    assert await host.read("ERROR_CODE") == ErrorCode.NONE
    await host.step(60)
    assert await host.read("ERROR_CODE") == ErrorCode.CYCLE_LIMIT
    assert await host.read("STATUS") == FAILED | READY
    await host.write("CYCLE_LIMIT", 0)
    await host.write("CONTROL", 1)
    await host.step(200)
    assert await host.read("STATUS") == BUSY, "0 is no limit"
    await host.write("CONTROL", 2)
    await host.step(2)
    assert await host.read("STATUS") == FAILED | READY, "aborted"
    assert await host.read("ERROR_CODE") == ErrorCode.NONE
