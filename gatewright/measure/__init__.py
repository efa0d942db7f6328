"""What a run cost and where its cycles went: records, causes, the waterfall. Figures without pages."""
