"""Search of a space of machines: exact cycles, modelled or synthesised area, the points that nothing beats."""
