"""STORE: from the scratchpad to DRAM."""
