"""Networks that were drawn, not trained: what a machine makes of given densities, where no trained weights exist."""
