"""INDEX: masks become index tables."""
