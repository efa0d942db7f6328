"""CIFAR ResNets: the networks, their public checkpoints, their growth."""
