"""Which gates a network has."""

from __future__ import annotations

from typing import Literal

Gating = Literal["none", "dual", "spatial", "channel", "bas", "aig", "skip", "ddi"]
"""``dual`` is spatial and channel gates in every block (DGNet). ``bas`` is channel gates, decided from the block's
input by ``BAS_HIDDEN`` neurons (Ehteshami Bejnordi et al., ICLR 2020, *Batch-Shaping*, section 4). ``aig`` leaves out
whole blocks (Veit & Belongie, ECCV 2018, *ConvNet-AIG*): a spatial gate whose one tile is the map. ``skip`` does so,
too, with a gate that has a convolution, in all blocks but the first (Wang et al., ECCV 2018, *SkipNet*). ``ddi`` (Wang
et al. 2020, *Dual Dynamic Inference*) is channel gates in a DenseNet's layers, and in a residual network gates of whole
blocks, all but the first of each stage; their form, which the supplement leaves open, is that of ``aig``."""

BAS_HIDDEN = 16
"""Neurons of a BAS gate, whatever the number of channels."""


def has_spatial_gates(gating: Gating) -> bool:
    """Whether tiles are decided about, of which there may be one."""
    return has_small_tiles(gating) or has_layer_gates(gating)


def has_small_tiles(gating: Gating) -> bool:
    """Whether maps are cut into tiles."""
    return gating in ("dual", "spatial")


def has_layer_gates(gating: Gating) -> bool:
    """Whether blocks are decided about as a whole."""
    return gating in ("aig", "skip")


def has_channel_gates(gating: Gating) -> bool:
    """Whether channels are decided about."""
    return gating in ("dual", "channel", "bas", "ddi")
