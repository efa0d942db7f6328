"""The emitted Verilog in Icarus."""
