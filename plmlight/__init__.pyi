from . import data as data
from . import export as export
from . import nn as nn
from . import objectives as objectives
from . import optim as optim
from . import runtime as runtime
from . import tasks as tasks
from .data import DocumentCorpus as DocumentCorpus
from .data import ParallelCorpus as ParallelCorpus
from .data import TextCorpus as TextCorpus
from .loading import load as load
from .networks import ALBERT as ALBERT
from .networks import BERT as BERT
from .networks import GPT as GPT
from .networks import XLM as XLM
from .networks import RoBERTa as RoBERTa
from .objectives import CausalLanguageModelling as CausalLanguageModelling
from .objectives import MaskedLanguageModelling as MaskedLanguageModelling
from .objectives import NextSentencePrediction as NextSentencePrediction
from .objectives import SentenceOrderPrediction as SentenceOrderPrediction
from .objectives import SpanMasking as SpanMasking
from .objectives import TranslationLanguageModelling as TranslationLanguageModelling
from .objectives import WholeWordMasking as WholeWordMasking
from .tasks import CausalLM as CausalLM
from .tasks import MaskedLM as MaskedLM
from .tasks import SentenceEmbedding as SentenceEmbedding

__version__: str
