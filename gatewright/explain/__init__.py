"""Questions about a network on a machine, answered by running variations of both."""
