"""The stepped simulator: every register moves every clock cycle. The reference for the RTL, for small cases."""

from gatewright.sim.stepped.machine import SteppedMachine, SteppedResult, step_simulate

__all__ = ["SteppedMachine", "SteppedResult", "step_simulate"]
