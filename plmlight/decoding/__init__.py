"""Decoding for any language model on any array library: greedy, sampling, beam search, streaming.

Nothing here imports torch: the functions work on the arrays they get, through the array API
(https://data-apis.org/array-api).
"""

from plmlight.decoding.generate import generate, stream
from plmlight.decoding.generator import TextGenerator
from plmlight.decoding.model import LanguageModel
from plmlight.decoding.options import DecodingOptions
from plmlight.decoding.row import Hypothesis
from plmlight.decoding.text import Piece

__all__ = ["DecodingOptions", "Hypothesis", "LanguageModel", "Piece", "TextGenerator", "generate", "stream"]
