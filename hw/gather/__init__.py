"""GATHER, the dynamic index module: im2col of active tiles and channels."""
