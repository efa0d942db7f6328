"""From a trained network to programs: capture, graph, quantise, lower, allocate, schedule, emit."""
