"""From texts to answers on any library: greedy, sampling, beam search, streaming; filling masks; embedding; labels.

Nothing here imports torch: generation works on the arrays it gets, through the array API
(https://data-apis.org/array-api); what an encoder gives comes as numpy arrays, once a batch.
"""

from plmlight.decoding.analysers import ANALYSERS
from plmlight.decoding.analysis import OutputModel, Record, TextAnalyser
from plmlight.decoding.classification import Label, TextClassifier
from plmlight.decoding.embedding import TextEmbedder
from plmlight.decoding.encoder import EmbeddingModel, EncoderModel, Inputs, MaskedModel
from plmlight.decoding.filling import Filling, MaskFiller
from plmlight.decoding.generate import generate, stream
from plmlight.decoding.generator import TextGenerator
from plmlight.decoding.model import Covering, LanguageModel, Revealing, SequenceModel
from plmlight.decoding.options import DecodingOptions
from plmlight.decoding.retrieval import Match, TextIndex
from plmlight.decoding.row import Hypothesis
from plmlight.decoding.sequence import SequenceGenerator, with_end
from plmlight.decoding.text import Piece
from plmlight.decoding.words import Neighbour, WordSpace, vocabulary_of

__all__ = [
    "ANALYSERS",
    "Covering",
    "DecodingOptions",
    "EmbeddingModel",
    "EncoderModel",
    "Filling",
    "Hypothesis",
    "Inputs",
    "Label",
    "LanguageModel",
    "MaskFiller",
    "MaskedModel",
    "Match",
    "Neighbour",
    "OutputModel",
    "Piece",
    "Record",
    "Revealing",
    "SequenceGenerator",
    "SequenceModel",
    "TextAnalyser",
    "TextClassifier",
    "TextEmbedder",
    "TextGenerator",
    "TextIndex",
    "WordSpace",
    "generate",
    "stream",
    "vocabulary_of",
    "with_end",
]
