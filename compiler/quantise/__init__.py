"""From a float graph and its ranges to the machine's integers."""
