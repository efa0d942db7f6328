"""CIFAR ResNets with early exits."""
