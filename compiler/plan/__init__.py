"""Where things lie and how layers are cut: DRAM layout, scratchpad, rings, tiling."""
