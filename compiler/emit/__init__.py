"""From a quantised graph and decisions to instructions."""
