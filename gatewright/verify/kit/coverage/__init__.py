"""What programs have reached of the machine: opcodes by what they waited for, by the memory and by edges of tiles."""
