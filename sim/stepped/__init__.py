"""The stepped simulator: every register moves every clock cycle. The reference for the RTL, for small cases."""

from gatewright.sim.stepped.machine import SteppedMachine, step_simulate, step_simulate_images

__all__ = ["SteppedMachine", "step_simulate", "step_simulate_images"]
