"""The command line's commands, by subject. Each module lists its own in ``COMMANDS``."""
