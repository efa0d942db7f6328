"""DenseNets: the networks and their public checkpoints."""
