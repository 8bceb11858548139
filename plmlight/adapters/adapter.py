"""What is trained in the place of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tokenizers import Tokenizer
from torch import Tensor, nn

from plmlight.nn import Configured, KeyValuePrefix, LowRankLinear, Network, PromptedEmbedding


class Adapter(Configured, ABC):
    """Few parameters that are trained in the place of a network's own. Build one on it in a file of your own.

    A subclass adds its parameters to the network (`insert`), and folds them into the weights where that can be done
    (`merge`). Networks keep the names of their own weights.
    """

    def apply(self, network: Network) -> None:
        """Freezes the network and adds what is trained.

        Args:
            network: changed in place.

        Raises:
            ValueError: for a network that has an adapter already, or none of the places that this one is for.
        """
        if any(isinstance(module, LowRankLinear | KeyValuePrefix | PromptedEmbedding) for module in network.modules()):
            raise ValueError(f"{type(network).__name__} has an adapter already: merge it first")
        network.requires_grad_(False)
        self.insert(network)

    reserved: int = 0
    """How many of the tokens that a network reads at most an adapter takes for itself."""

    @abstractmethod
    def insert(self, network: Network) -> None:
        """Adds what is trained to a frozen network.

        Args:
            network: changed in place.

        Raises:
            ValueError: for a network without a place for it.
        """

    def begin(self, network: Network, tokenizer: Tokenizer | None) -> None:
        """Starts from a text, where it is made of one and nothing was learned yet; before a run.

        Args:
            network: with the adapter; changed in place.
            tokenizer: of the task.

        Raises:
            ValueError: where the tokenizer is missing.
        """

    def idle(self, network: Network, unread: Sequence[nn.Module]) -> str:
        """What is wrong where all that was added stands in parts that a task does not read with.

        Args:
            network: with the adapter.
            unread: those parts.

        Returns:
            A line.
        """
        what = type(network).__name__
        return f"{type(self).__name__}: all that it adds to {what} only writes, and here the encoder alone reads"

    def merge(self, network: Network) -> None:
        """Folds what was learned into the network's own weights, so that nothing is left of the adapter.

        Args:
            network: with the adapter; changed in place.

        Raises:
            ValueError: where that cannot be done.
        """
        raise ValueError(f"{type(self).__name__} cannot be merged: what it learned is no difference of weights")


def adapter_weights(network: Network) -> dict[str, Tensor]:
    """What an adapter added to a network.

    Args:
        network: with the adapter.

    Returns:
        Its parameters by their names in the network.
    """
    found: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        added = module.low_rank if isinstance(module, LowRankLinear) else None
        if added is not None:
            found |= {f"{name}.low_rank.{key}": tensor for key, tensor in added.state_dict().items()}
        elif isinstance(module, KeyValuePrefix):
            found |= {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}
        elif isinstance(module, PromptedEmbedding):
            found[f"{name}.prompt"] = module.prompt.detach()
    return found
