"""What a person can do about operations that the machine has not."""

from __future__ import annotations

from gatewright.from_onnx.model import Node

_HINTS = {
    "Sigmoid": "the machine has no sigmoid; a gate's sigmoid before a comparison with 0.5 is one of the logits with 0",
    "HardSwish": "the machine has ReLU and ReLU6; train the network with one of them in place of h-swish",
    "HardSigmoid": "the machine has ReLU and ReLU6, and gates that are 0 or 1",
    "LeakyRelu": "the machine has ReLU and ReLU6; train the network with one of them",
    "PRelu": "the machine has ReLU and ReLU6; train the network with one of them",
    "QLinearConv": "write the quantised network as QDQ: quantize_static(..., quant_format=QuantFormat.QDQ)",
    "QLinearMatMul": "write the quantised network as QDQ: quantize_static(..., quant_format=QuantFormat.QDQ)",
    "ConvInteger": "quantise statically, as QDQ: quantize_static(..., quant_format=QuantFormat.QDQ)",
    "DynamicQuantizeLinear": "quantise statically, as QDQ: quantize_static(..., quant_format=QuantFormat.QDQ)",
}


def hint_for(node: Node) -> str:
    """A sentence for a message about an operation that is not taken."""
    return (
        f"{hint[0].upper()}{hint[1:]}."
        if (hint := _HINTS.get(node.op))
        else "If the host can do what follows, end before it: --output NAME with the name of "
        "a tensor that the machine makes."
    )
