from __future__ import annotations

from abc import ABC, abstractmethod

from plmlight.nn import Configured


class RateSchedule(Configured, ABC):
    """A rate over a run. Build one on it in a file of your own and name it by its class path."""

    @abstractmethod
    def at(self, progress: float) -> float:
        """The rate where so much of the run is over.

        Args:
            progress: 0 to 1; 1 outside training too, so that all evaluations of a run are at its last rate.

        Returns:
            More than 0 and less than 1.
        """


class LinearRate(RateSchedule):
    """A straight line from one rate to another, as 0.3 to 0.15: more is hidden while the model knows little.

    How much to hide at all is the question of Wettig et al. 2023, arXiv:2202.08005; a rate that falls over the run is
    the masking ratio decay of Yang et al. 2023, arXiv:2208.10806.

    Args:
        start: the rate at the start.
        end: the rate at the end.

    Raises:
        ValueError: for rates that are none.
    """

    def __init__(self, start: float = 0.3, end: float = 0.15) -> None:
        for name, rate in (("start", start), ("end", end)):
            if not 0 < rate < 1:
                raise ValueError(f"{name} {rate}: expected more than 0 and less than 1")
        self.start, self.end = start, end

    def at(self, progress: float) -> float:
        """``start + (end - start) progress``."""
        return self.start + (self.end - self.start) * progress
