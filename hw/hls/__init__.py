"""The machine in HLS C++: its sources, the header that the contract generates, and its C simulation."""
