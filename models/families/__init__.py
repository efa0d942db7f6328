"""Network families: modules with public names, what builds them, and what turns other forms into them."""
