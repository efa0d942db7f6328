"""Parts that several units use and that know nothing of the machine."""
