"""MobileNetV2: the network and its public checkpoints."""
