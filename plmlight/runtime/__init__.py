"""Runs bundles on ONNX Runtime. Needs numpy, onnxruntime and tokenizers; loads no torch and no lightning."""

from plmlight.runtime.analysis import AnalysisModel
from plmlight.runtime.bundle import Bundle, read_bundle, verify
from plmlight.runtime.bundle_model import BundleModel
from plmlight.runtime.encoding import EmbeddingModel, FillingModel
from plmlight.runtime.generation import GenerationModel
from plmlight.runtime.golden import Replay, replay
from plmlight.runtime.opening import load, open_bundle
from plmlight.runtime.providers import PROVIDERS
from plmlight.runtime.threads import allowed_threads
from plmlight.runtime.translation import TranslationModel
from plmlight.runtime.words import WordModel

__all__ = [
    "PROVIDERS",
    "AnalysisModel",
    "Bundle",
    "BundleModel",
    "EmbeddingModel",
    "FillingModel",
    "GenerationModel",
    "Replay",
    "TranslationModel",
    "WordModel",
    "allowed_threads",
    "load",
    "open_bundle",
    "read_bundle",
    "replay",
    "verify",
]
