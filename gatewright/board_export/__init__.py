"""``gatewright board``: everything that a person with a board needs, in one folder."""
