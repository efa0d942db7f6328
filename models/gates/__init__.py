"""Gates: small modules that decide per image what is computed."""
