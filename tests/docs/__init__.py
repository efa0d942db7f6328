"""What the documentation's pages say runs, and its diagrams are of real runs."""
