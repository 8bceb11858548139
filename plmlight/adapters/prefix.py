from __future__ import annotations

from plmlight.adapters.adapter import Adapter
from plmlight.nn import KeyValuePrefix, Network, SelfAttention


class PrefixTuning(Adapter):
    """Keys and values that every attention of a sequence to itself sees before the sequence.

    Li and Liang 2021, arXiv:2101.00190. The network's weights and the tokens' positions stay as they are, and a cache
    holds nothing of the prefix. We differ from the paper in that the keys and values are trained themselves, not the
    input of a network that makes them (its section 4.3), and that attention to another sequence has none. A learning
    rate of about 1e-2 suits them.

    Args:
        length: how many keys and values.

    Raises:
        ValueError: for a length below 1.
    """

    def __init__(self, length: int = 16) -> None:
        if length < 1:
            raise ValueError(f"length {length}: expected at least 1")
        self.length = length

    def insert(self, network: Network) -> None:
        """Adds keys and values to every `plmlight.nn.SelfAttention`."""
        attentions = [module for module in network.modules() if isinstance(module, SelfAttention)]
        if not attentions:
            raise ValueError(f"PrefixTuning: {type(network).__name__} has no attention that takes a prefix")
        for attention in attentions:
            prefix = KeyValuePrefix(self.length, attention.num_heads, attention.head_dim)
            attention.prefix = prefix.to(attention.qkv.weight)
