"""A network that was trained before gets rows for more tokens."""

from __future__ import annotations

import torch
from torch import nn

from plmlight.nn.configured import build, config_of, reconfigure
from plmlight.nn.roles import Network


def grow_vocabulary(network: Network, vocab_size: int) -> None:
    """Adds rows to the token table of a network, in place.

    A new row is the mean of all others, so that it disturbs nothing, and a tenth of their deviation at random, so that
    no two are alike. What the network says of how it was built (`plmlight.nn.config_of`) grows along: its checkpoint
    builds the larger one.

    Args:
        network: the network.
        vocab_size: how many rows it needs; nothing is done where it has as many.

    Raises:
        ValueError: for a network whose table is not its own (one that is made of two), or not alone of that size.
    """
    if vocab_size <= network.vocab_size:
        return
    what = f"{type(network).__name__} has {network.vocab_size} tokens, and cannot have {vocab_size}: "
    if "vocab_size" not in config_of(network)["init_args"]:
        raise ValueError(f"{what}it is made of other networks; name tokens that its vocabulary has")
    table, before = network.token_embedding, network.vocab_size
    config = config_of(network)
    with torch.device("meta"):
        grown = build({**config, "init_args": {**config["init_args"], "vocab_size": vocab_size}}).state_dict()
    (name,) = (key for key, tensor in network.state_dict(keep_vars=True).items() if tensor is table.weight)
    odd = [key for key, tensor in network.state_dict().items() if key != name and tensor.shape != grown[key].shape]
    if odd:
        raise ValueError(f"{what}{odd[0]} depends on it; name tokens that its vocabulary has")
    with torch.no_grad():
        old = table.weight
        rows = old.mean(0) + 0.1 * old.std() * torch.randn(vocab_size - before, old.shape[1]).to(old)
        table.weight = nn.Parameter(torch.cat([old, rows]), old.requires_grad)
    table.num_embeddings = network.vocab_size = vocab_size
    reconfigure(network, vocab_size=vocab_size)
