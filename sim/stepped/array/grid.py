"""The grid of processing elements with the skew in front of it and the deskew behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright.sim.stepped.array.operand_fetch import Fetched

Registers = npt.NDArray[Any]

PRODUCT_STAGES = 1
"""Registers between an element's multiplier and its sum."""


class Grid:
    """``rows`` x ``columns`` processing elements: sums move down, activations right, one operand stands still.

    Registers of PE(r, c), all updated each clock while anything moves:

    * ``active``, ``shadow`` int8: the stationary value in use, and the next one;
    * ``activation`` int8 and ``swap``: what PE(r, c + 1) sees next cycle;
    * ``bus`` [load_vectors] int8, ``first``, ``count``: stationary values on their way right, and the columns
      that they are for: PE(r, c) captures bus lane c mod load_vectors if first <= c < first + count;
    * ``product`` int32: activation times stationary value, on its way into the sum;
    * ``sum`` int32: what PE(r + 1, c) sees next cycle, PE(r, c)'s product of the cycle before included.

    A PE that sees ``swap`` multiplies by its shadow value in that cycle already, and a value captured in
    the same cycle goes to the shadow behind it. Row r's inputs pass r skew registers; column c's sums pass
    columns - 1 - c deskew registers. Everything that enters at local time t so acts at PE(r, c) at t + r + c,
    and its product is added a cycle later.
    A bubble is activation 0 without flags.
    """

    def __init__(self, rows: int, columns: int, load_vectors: int) -> None:
        self.rows, self.columns, self.load_vectors = rows, columns, load_vectors
        grid = (rows, columns)
        self.active: Registers = np.zeros(grid, np.int8)
        self.shadow: Registers = np.zeros(grid, np.int8)
        self.activation: Registers = np.zeros(grid, np.int8)
        self.swap: Registers = np.zeros(grid, np.bool_)
        self.bus: Registers = np.zeros((*grid, load_vectors), np.int8)
        self.first: Registers = np.zeros(grid, np.int64)
        self.count: Registers = np.zeros(grid, np.int64)
        self.product: Registers = np.zeros(grid, np.int32)
        self.sum: Registers = np.zeros(grid, np.int32)
        # Skew registers: [depth, row]; row r reads depth r, depth 0 is the input register itself.
        self.skew_activation: Registers = np.zeros((rows, rows), np.int8)
        self.skew_swap: Registers = np.zeros((rows, rows), np.bool_)
        self.skew_bus: Registers = np.zeros((rows, rows, load_vectors), np.int8)
        self.skew_first: Registers = np.zeros((rows, rows), np.int64)
        self.skew_count: Registers = np.zeros((rows, rows), np.int64)
        # Deskew registers: [depth, column]; column c leaves from depth columns - 1 - c.
        self.deskew: Registers = np.zeros((columns, columns), np.int32)
        self._row = np.arange(rows)
        self._column = np.arange(columns)
        self._lane = np.arange(columns) % load_vectors
        self._moving = 0
        self._loading = 0

    def step(self, entering: Fetched | None) -> npt.NDArray[np.int32] | None:
        """One clock cycle. ``entering`` is what the input register takes at this cycle's end.

        Returns the deskewed sums, [columns] int32, that stand at the outputs in this cycle; None while nothing moves.
        """
        if entering is not None:
            self._moving = self.rows + self.columns + 2 + PRODUCT_STAGES
            if entering.bus is not None:
                self._loading = self._moving
        if not self._moving:
            return None
        self._moving -= 1
        out = self.deskew[self.columns - 1 - self._column, self._column].copy()
        self._step_grid()
        self._step_skew(entering)
        self._loading -= self._loading > 0
        return out

    def _step_grid(self) -> None:
        """Every register of the elements and of the deskew, from the values at the start of the cycle."""
        diagonal = self._row
        activation = self._shifted(self.activation, self.skew_activation[diagonal, diagonal])
        swap = self._shifted(self.swap, self.skew_swap[diagonal, diagonal])
        above = np.empty_like(self.sum)
        above[0] = 0
        above[1:] = self.sum[:-1]
        self.deskew[1:] = self.deskew[:-1]
        self.active = np.where(swap, self.shadow, self.active)
        self.sum = above + self.product
        self.product = activation.astype(np.int32) * self.active
        self.deskew[0] = self.sum[-1]
        self.activation, self.swap = activation, swap
        if self._loading:
            bus = self._shifted(self.bus, self.skew_bus[diagonal, diagonal])
            first = self._shifted(self.first, self.skew_first[diagonal, diagonal])
            count = self._shifted(self.count, self.skew_count[diagonal, diagonal])
            mine = (first <= self._column) & (self._column < first + count)
            self.shadow = np.where(mine, bus[:, self._column, self._lane], self.shadow)
            self.bus, self.first, self.count = bus, first, count

    @staticmethod
    def _shifted(register: Registers, left: Registers) -> Registers:
        """What each element sees from its left neighbour; column 0 sees the skew registers."""
        seen = np.empty_like(register)
        seen[:, 0] = left
        seen[:, 1:] = register[:, :-1]
        return seen

    def _step_skew(self, entering: Fetched | None) -> None:
        """The skew registers and the input register, which is their depth 0."""
        registers: list[Registers] = [self.skew_activation, self.skew_swap]
        if self._loading:
            registers += [self.skew_bus, self.skew_first, self.skew_count]
        for register in registers:
            register[1:] = register[:-1]
            register[0] = 0
        if entering is None:
            return
        if entering.stream is not None:
            self.skew_activation[0] = entering.stream
        self.skew_swap[0] = entering.swap
        if entering.bus is not None:
            self.skew_bus[0] = entering.bus
            self.skew_first[0] = entering.first
            self.skew_count[0] = entering.count
