"""What Vivado reads: the machine as a packaged IP, a block design around it on a Zynq UltraScale+, constraints.

Nobody has run any of it in Vivado: docs/board.md says what was checked, and by what.
"""
