"""The trained networks that ship with the package, their cards, and the papers' figures beside them."""
