"""What compiler, simulators and RTL agree on: one definition of each number, width and rule. Imports nothing else."""
