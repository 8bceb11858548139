"""Peak memory of the language-model loss, forward and backward, at a vocabulary of 50,000.

    python benchmarks/loss_memory.py

Each side runs in a process of its own; what is counted is the growth of the peak resident set over the inputs.
"""

import argparse
import resource
import subprocess
import sys

ROWS, WIDTH, VOCABULARY = 2048, 384, 50_000


def measure(side: str) -> float:
    import torch
    import torch.nn.functional as F

    from plmlight.heads import LMHead

    torch.set_num_threads(1)
    head = LMHead(WIDTH, VOCABULARY)
    hidden = torch.randn(ROWS, WIDTH, requires_grad=True)
    labels = torch.randint(0, VOCABULARY, (ROWS,))
    head.weight.grad = torch.zeros_like(head.weight)  # a running step has it already
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if side == "logits":
        loss = F.cross_entropy(head(hidden), labels, reduction="sum")
    else:
        loss, _ = head.loss(hidden, labels)
    loss.backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["logits", "chunked"])
    side = parser.parse_args().side
    if side:
        print(measure(side))
        return
    megabytes = {
        name: float(subprocess.run([sys.executable, __file__, "--side", name], capture_output=True, check=True).stdout)
        for name in ("logits", "chunked")
    }
    print(f"full logits {megabytes['logits']:.0f} MB, chunked {megabytes['chunked']:.0f} MB")
    print(f"ratio {megabytes['chunked'] / megabytes['logits']:.3f} (at most 0.25)")


if __name__ == "__main__":
    main()
