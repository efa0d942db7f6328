"""LOAD: from DRAM into the machine's memories."""
