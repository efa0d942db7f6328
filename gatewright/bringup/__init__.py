"""What brings a board up: a self-test with a known result, and its counters compared with the simulator's."""
