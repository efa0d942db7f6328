"""The package as others get it: a wheel and an sdist that need nothing of the repository."""
