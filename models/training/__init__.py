"""Training: recipes, losses, the loop, distillation, and the picture of a run."""
