"""EPILOGUE, register by register."""
