"""The RTL of the machine, in Amaranth.

Nothing is here yet. ``docs/architecture.md`` is its contract, and ``sim/stepped`` its model, register by register.
"""
