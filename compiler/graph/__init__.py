"""The graphs between capture and emission, and what can be computed from them: float and integer results, MACs."""
