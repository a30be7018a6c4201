"""Networks that stay as they are while a loss is taken through them."""

from __future__ import annotations

from torch import nn


def freeze(network: nn.Module) -> None:
    """Leave a network as it is: weights, dropout and batch statistics."""
    network.requires_grad_(False)
    hold(network)


def hold(network: nn.Module) -> None:
    """Set evaluation mode, but for recurrent layers, so that gradients pass through on CUDA.

    cuDNN refuses the backward pass of a recurrent layer in evaluation mode. All that the mode
    changes in one is the dropout between its layers.

    Raises:
        ValueError: a recurrent layer has such dropout.
    """
    network.eval()
    for layer in network.modules():
        if isinstance(layer, nn.RNNBase):
            if layer.dropout:
                raise ValueError(f"a frozen {type(layer).__name__} has dropout between its layers")
            layer.train()
