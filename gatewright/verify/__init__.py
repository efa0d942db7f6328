"""The RTL against the simulator: every instruction's cycles, every write's bytes, on whole networks."""
