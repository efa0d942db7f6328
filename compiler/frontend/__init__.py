"""From a PyTorch module to a float graph."""
