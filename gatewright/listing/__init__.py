"""The contract as text: the assembler, and the reference pages that are generated from it."""
