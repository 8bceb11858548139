"""Memory of ALBERT's parameters and optimiser state against a BERT of the same shape (arXiv:1909.11942, table 1).

    python benchmarks/albert_memory.py

Both take one step of AdamW, and the bytes of their parameters, gradients and optimiser state are summed; what does not
fit into memory is counted on the meta device, and marked so.
"""

import torch
from torch import nn

import plmlight
from plmlight.optim import AdamW

SHAPES = {"base": (12, 768, 12), "large": (24, 1024, 16), "xlarge": (24, 2048, 16), "xxlarge": (12, 4096, 64)}
"""Layers, width and heads."""

MOST = 400_000_000
"""Parameters of a network that is really built."""


def main() -> None:
    print(f"{'shape':8} {'network':7} {'parameters':>12} {'bytes of all':>16} {'against BERT':>13}")
    for shape, (layers, width, heads) in SHAPES.items():
        sizes = {}
        for cls, vocabulary in ((plmlight.BERT, 30522), (plmlight.ALBERT, 30000)):
            parameters, occupied, counted = measure(cls, vocabulary, layers, width, heads)
            sizes[cls.__name__] = occupied
            ratio = f"{occupied / sizes['BERT']:.3f}"
            note = " (counted)" if counted else ""
            print(f"{shape:8} {cls.__name__:7} {parameters:>12,} {occupied:>16,} {ratio:>13}{note}")


def measure(cls: type, vocabulary: int, layers: int, width: int, heads: int) -> tuple[int, int, bool]:
    """Parameters, bytes of parameters, gradients and optimiser state, and whether these were counted only."""
    with torch.device("meta"):
        network = cls(vocabulary, width, layers, heads)
    parameters = sum(p.numel() for p in network.parameters())
    if parameters > MOST:
        return parameters, 4 * 4 * parameters, True
    network = cls(vocabulary, width, layers, heads)
    optimizer = AdamW()(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return parameters, occupied(network) + sum(map(nbytes, states(optimizer))), False


def occupied(network: nn.Module) -> int:
    return sum(nbytes(p) + (nbytes(p.grad) if p.grad is not None else 0) for p in network.parameters())


def states(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]


def nbytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


if __name__ == "__main__":
    main()
