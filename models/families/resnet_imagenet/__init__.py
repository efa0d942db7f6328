"""ImageNet ResNets: the networks and their public checkpoints."""
