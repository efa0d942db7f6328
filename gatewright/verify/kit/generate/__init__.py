"""Random programs, and what each must compute, by an oracle in numpy that shares no code with ``sim``."""
