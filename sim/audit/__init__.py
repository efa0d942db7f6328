"""Whether a finished run owes its values to luck: every read behind its write, by cycles and by waits alone."""
