"""The equality card: what was compared between the RTL and the simulators, on one page made by one command."""
