"""``python -m gatewright`` is the same as ``gatewright``."""

from gatewright.cli.main import main

main(prog_name="gatewright")
