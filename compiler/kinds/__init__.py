"""The kinds of layers, a file each: what a layer is in both graphs, and all that the stages ask of it.

``FloatLayer`` and ``QuantisedLayer`` in ``compiler.graph.graph`` list what a kind must say.
"""
