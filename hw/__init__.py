"""The machine in Amaranth: synthesizable RTL with the cycles and bytes of the simulators. See docs/rtl.md."""
