"""Learning rates as a function of the optimiser's step, relative to the peak."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from plmlight.nn import Configured


class Schedule(Configured, ABC):
    """The learning rate over a run. Build one on it in a file of your own and name it by its class path.

    Args:
        warmup_steps: steps over which the rate rises from near zero to the peak, evenly: the first one already has
            1 / (warmup_steps + 1) of it.
    """

    needs_total = True
    """Whether `after_warmup` looks at the total; a run without an end cannot have such a schedule."""

    def __init__(self, warmup_steps: int = 0) -> None:
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps {warmup_steps}: expected 0 or more")
        self.warmup_steps = warmup_steps

    def factor(self, step: int, total_steps: int) -> float:
        """The learning rate of a step, as a share of the peak.

        Args:
            step: steps done before it, 0 for the first.
            total_steps: of the run.

        Returns:
            0 to 1.
        """
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        return self.after_warmup(step, total_steps)

    @abstractmethod
    def after_warmup(self, step: int, total_steps: int) -> float:
        """The share of the peak at a step that is not part of the warm-up."""

    def _progress(self, step: int, total_steps: int) -> float:
        return min(1.0, (step - self.warmup_steps) / max(1, total_steps - self.warmup_steps))


class Constant(Schedule):
    """The peak, after the warm-up."""

    needs_total = False

    def after_warmup(self, step: int, total_steps: int) -> float:
        """One."""
        return 1.0


class WarmupCosine(Schedule):
    """Half a cosine from the peak down (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, without restarts).

    Args:
        warmup_steps: steps up to the peak.
        final: the share of the peak at the end; nanoGPT and GPT-3 use 0.1.
    """

    def __init__(self, warmup_steps: int = 0, final: float = 0.1) -> None:
        super().__init__(warmup_steps)
        self.final = final

    def after_warmup(self, step: int, total_steps: int) -> float:
        """``final + (1 - final) (1 + cos(pi progress)) / 2``."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * self._progress(step, total_steps))) / 2


class WarmupLinear(Schedule):
    """A straight line from the peak down (BERT, Devlin et al. 2019, arXiv:1810.04805, appendix A.2).

    Args:
        warmup_steps: steps up to the peak.
        final: the share of the peak at the end.
    """

    def __init__(self, warmup_steps: int = 0, final: float = 0.0) -> None:
        super().__init__(warmup_steps)
        self.final = final

    def after_warmup(self, step: int, total_steps: int) -> float:
        """``1 - (1 - final) progress``."""
        return 1 - (1 - self.final) * self._progress(step, total_steps)


class InverseSquareRoot(Schedule):
    """The peak over the root of the steps (Vaswani et al. 2017, arXiv:1706.03762, section 5.3, relative to its peak).

    Args:
        warmup_steps: steps up to the peak, which also set how slowly it falls.
    """

    needs_total = False

    def __init__(self, warmup_steps: int = 4000) -> None:
        super().__init__(warmup_steps)

    def after_warmup(self, step: int, total_steps: int) -> float:
        """``sqrt((warmup + 1) / (step + 1))``."""
        return math.sqrt((self.warmup_steps + 1) / (step + 1))


class WarmupStableDecay(Schedule):
    """The peak, and a straight line down over the last part (WSD; Hu et al. 2024, arXiv:2404.06395, section 4).

    Args:
        warmup_steps: steps up to the peak.
        decay_fraction: the share of all steps over which it falls.
        final: the share of the peak at the end.
    """

    def __init__(self, warmup_steps: int = 0, decay_fraction: float = 0.2, final: float = 0.0) -> None:
        super().__init__(warmup_steps)
        if not 0 < decay_fraction <= 1:
            raise ValueError(f"decay_fraction {decay_fraction}: expected more than 0, at most 1")
        self.decay_fraction, self.final = decay_fraction, final

    def after_warmup(self, step: int, total_steps: int) -> float:
        """One, then ``1 - (1 - final) (progress through the decay)``."""
        decay = max(1.0, self.decay_fraction * total_steps)
        progress = (step - (total_steps - decay)) / decay
        return 1 - (1 - self.final) * min(1.0, max(0.0, progress))
