"""Machines that the driver runs on without a board: the Verilated RTL, and the fast simulator behind its registers."""
