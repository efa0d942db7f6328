"""The kit for your own RTL of the machine: random programs and lockstep with the simulator."""
