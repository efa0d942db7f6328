"""What a run cost, where its cycles went, and how that is shown to an architect."""
