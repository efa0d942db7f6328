"""What all families of residual networks share: gated blocks, the network around them, recognition by names."""
