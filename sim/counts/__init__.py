"""How many words of each memory a run reads and writes: a second look at every instruction behind its execution."""
