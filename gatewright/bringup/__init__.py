"""What brings a board up: a self-test with a known result, and a comparison of a board's counters with the simulator's."""
