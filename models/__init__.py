"""Gated networks in PyTorch: definition, data, training, quantisation, and the zoo of checkpoints."""
