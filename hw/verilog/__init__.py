"""From Amaranth to Verilog and what goes with it: header, waivers, manifest."""
