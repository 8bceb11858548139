from plmlight.callbacks.averaging import NonMonotonicAveraging
from plmlight.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from plmlight.callbacks.ema import ExponentialMovingAverage
from plmlight.callbacks.initial_vectors import InitialVectors
from plmlight.callbacks.interrupt import StopsCleanly
from plmlight.callbacks.profiler import NoProfiler
from plmlight.callbacks.progress import ProgressBar
from plmlight.callbacks.report import Report
from plmlight.callbacks.throughput import Throughput
from plmlight.callbacks.unfreezing import Unfreezing

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "ExponentialMovingAverage",
    "InitialVectors",
    "NoProfiler",
    "NonMonotonicAveraging",
    "ProgressBar",
    "Report",
    "StopsCleanly",
    "Throughput",
    "Unfreezing",
]
