"""The machine's memories with their ports. Reads see the start of the cycle, writes the clock edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.contract.arch import ACCUMULATOR_BANKS, PARAMETER_BYTES, ArchConfig
from gatewright.contract.encodings import PARAMETER_DTYPE
from gatewright.contract.errors import GatewrightError
from gatewright.sim.stepped.control.queue import Clock
from gatewright.sim.stepped.instruction import Instruction

Bytes = npt.NDArray[np.int8]


def _undefined(shape: tuple[int, ...], dtype: type, fill: np.random.Generator | None) -> npt.NDArray[Any]:
    """Contents at power-on: zeros, or what a generator gives, to show that nothing depends on them."""
    if fill is None:
        return np.zeros(shape, dtype)
    limits = np.iinfo(dtype)
    return fill.integers(limits.min, limits.max, shape, dtype, endpoint=True)


class Scratchpad:
    """Feature maps. Port A is GATHER's alone; port B serves one access of one unit in a cycle."""

    def __init__(self, clock: Clock, arch: ArchConfig, fill: np.random.Generator | None) -> None:
        self._clock = clock
        self.bytes = _undefined((arch.scratchpad_bytes,), np.int8, fill)
        self._port_b_cycle = -1
        self._port_b_user: Instruction | None = None

    def _take_port_b(self, user: Instruction) -> None:
        if self._port_b_cycle == self._clock.cycle:
            raise GatewrightError(
                f"cycle {self._clock.cycle}: {self._port_b_user} and {user} both use the scratchpad's port B; "
                "add a wait that orders them"
            )
        self._port_b_cycle, self._port_b_user = self._clock.cycle, user

    def _check(self, address: int, count: int, user: Instruction) -> None:
        if not 0 <= address <= len(self.bytes) - count:
            raise GatewrightError(
                f"{user}: scratchpad bytes {address} to {address + count - 1} are outside its {len(self.bytes)} bytes"
            )

    def read_a(self, addresses: npt.NDArray[np.int64]) -> Bytes:
        """GATHER's read; addresses wrap at the scratchpad's end (such lanes are masked)."""
        return np.take(self.bytes, addresses, mode="wrap")

    def read_b(self, address: int, count: int, user: Instruction) -> Bytes:
        """``count`` consecutive bytes through port B."""
        self._take_port_b(user)
        self._check(address, count, user)
        return self.bytes[address : address + count].copy()

    def write_b(self, address: int, data: Bytes, user: Instruction) -> None:
        """Consecutive bytes through port B, at the clock edge."""
        self._take_port_b(user)
        self._check(address, len(data), user)
        self._clock.later(self._set, address, data.copy())

    def _set(self, address: int, data: Bytes) -> None:
        self.bytes[address : address + len(data)] = data


class OperandBuffer:
    """The patch or the weight buffer: words of ``rows`` bytes with byte enables, one write and one read port."""

    def __init__(self, clock: Clock, name: str, words: int, rows: int, fill: np.random.Generator | None) -> None:
        self._clock = clock
        self._name = name
        self._lanes = _undefined((words, rows), np.int8, fill)

    def read(self, word: int, user: Instruction) -> Bytes:
        """One word, [rows] bytes, now."""
        if not 0 <= word < len(self._lanes):
            raise GatewrightError(f"{user}: {self._name} word {word} is outside its {len(self._lanes)} words")
        return self._lanes[word].copy()

    def write(self, words: npt.NDArray[np.int64], lanes: npt.NDArray[np.int64], data: Bytes, user: Instruction) -> None:
        """Write single bytes, each at a word and a lane, at the clock edge."""
        if len(words) and not 0 <= int(words.min()) <= int(words.max()) < len(self._lanes):
            raise GatewrightError(f"{user}: {self._name} word {words.max()} is outside its {len(self._lanes)} words")
        self._clock.later(self._set, words, lanes, data.copy())

    def _set(self, words: npt.NDArray[np.int64], lanes: npt.NDArray[np.int64], data: Bytes) -> None:
        self._lanes[words, lanes] = data


class Accumulators:
    """Banks of ``columns`` int32 entries; in one cycle a bank belongs to ARRAY or to EPILOGUE."""

    def __init__(self, clock: Clock, arch: ArchConfig, fill: np.random.Generator | None) -> None:
        self._clock = clock
        self._entries = _undefined((ACCUMULATOR_BANKS, arch.accumulator_depth, arch.columns), np.int32, fill)
        self._user: list[Instruction | None] = [None] * ACCUMULATOR_BANKS
        self._cycle = [-1] * ACCUMULATOR_BANKS

    def _take(self, bank: int, entry: int, user: Instruction) -> None:
        if not 0 <= entry < self._entries.shape[1]:
            raise GatewrightError(
                f"{user}: accumulator entry {entry} is outside the bank's {self._entries.shape[1]} entries"
            )
        other = self._user[bank]
        if self._cycle[bank] == self._clock.cycle and other is not None and other.unit != user.unit:
            raise GatewrightError(
                f"cycle {self._clock.cycle}: {other} and {user} both use accumulator bank {bank}; "
                "add a wait that orders them"
            )
        self._cycle[bank], self._user[bank] = self._clock.cycle, user

    def read(self, bank: int, entry: int, user: Instruction) -> npt.NDArray[np.int32]:
        """One entry, [columns], now."""
        self._take(bank, entry, user)
        return self._entries[bank, entry].copy()

    def write(self, bank: int, entry: int, value: npt.NDArray[np.int32], user: Instruction) -> None:
        """One entry at the clock edge."""
        self._take(bank, entry, user)
        self._clock.later(self._set, bank, entry, value)

    def _set(self, bank: int, entry: int, value: npt.NDArray[np.int32]) -> None:
        self._entries[bank, entry] = value


class Parameters:
    """The epilogue's per-channel parameters: 8 bytes each (bias int32, multiplier uint16, shift uint8, unused)."""

    def __init__(self, clock: Clock, arch: ArchConfig, fill: np.random.Generator | None) -> None:
        self._clock = clock
        self._raw = _undefined((arch.parameter_entries, PARAMETER_BYTES), np.uint8, fill)

    def read(self, entry: int, user: Instruction) -> tuple[int, int, int]:
        """(bias, multiplier, shift) of an entry, now."""
        self._check(entry, user)
        parameter = self._raw[entry].view(PARAMETER_DTYPE)[0]
        return int(parameter["bias"]), int(parameter["multiplier"]), int(parameter["shift"])

    def write(self, entry: int, data: npt.NDArray[np.uint8], user: Instruction) -> None:
        """Consecutive entries, [entries, 8] bytes, at the clock edge."""
        self._check(entry + len(data) - 1, user)
        self._clock.later(self._set, entry, data.copy())

    def _check(self, entry: int, user: Instruction) -> None:
        if not 0 <= entry < len(self._raw):
            raise GatewrightError(f"{user}: parameter entry {entry} is outside the {len(self._raw)} entries")

    def _set(self, entry: int, data: npt.NDArray[np.uint8]) -> None:
        self._raw[entry : entry + len(data)] = data


class InstructionMemory:
    """Encoded instructions, ``entry_bytes`` an entry; LOAD writes beats, the sequencer reads entries."""

    def __init__(self, clock: Clock, entries: int, entry_bytes: int) -> None:
        self._clock = clock
        self._raw = np.zeros((entries, entry_bytes), np.uint8)

    def read(self, entry: int) -> bytes:
        """One encoded instruction, now; the address wraps."""
        return self._raw[entry % len(self._raw)].tobytes()

    def write(self, byte: int, data: npt.NDArray[np.uint8], user: Instruction) -> None:
        """Consecutive bytes at the clock edge."""
        if byte + len(data) > self._raw.size:
            raise GatewrightError(f"{user}: writes beyond the {len(self._raw)} entries of the instruction memory")
        self._clock.later(self._set, byte, data.copy())

    def _set(self, byte: int, data: npt.NDArray[np.uint8]) -> None:
        self._raw.reshape(-1)[byte : byte + len(data)] = data


class Dram:
    """The memory behind the AXI port, seen beat by beat."""

    def __init__(self, clock: Clock, image: npt.NDArray[np.uint8]) -> None:
        self._clock = clock
        self.bytes = image.copy()

    def read(self, address: int, count: int, user: Instruction) -> npt.NDArray[np.uint8]:
        """Bytes on the read bus, now."""
        self._check(address, count, user)
        return self.bytes[address : address + count].copy()

    def write(self, address: int, data: npt.NDArray[np.uint8], user: Instruction) -> None:
        """Bytes from the write bus, at the clock edge."""
        self._check(address, len(data), user)
        self._clock.later(self._set, address, data)

    def _check(self, address: int, count: int, user: Instruction) -> None:
        if address + count > len(self.bytes):
            raise GatewrightError(
                f"{user}: DRAM bytes {address} to {address + count - 1} are outside the image's {len(self.bytes)} bytes"
            )

    def _set(self, address: int, data: npt.NDArray[np.uint8]) -> None:
        self.bytes[address : address + len(data)] = data
