"""The kit for your own RTL of the machine: random programs, lockstep with the simulator, and coverage."""
