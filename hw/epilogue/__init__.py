"""EPILOGUE: accumulator entries become bytes of a map, sums, mask bits and tile averages."""
