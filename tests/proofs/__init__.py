"""Proofs of the RTL's control: properties of components for all inputs, decided by a solver."""
