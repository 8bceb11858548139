from plmlight.networks.albert import ALBERT
from plmlight.networks.bag_of_vectors import BagOfVectors
from plmlight.networks.bert import BERT
from plmlight.networks.bilstm import BiLSTM
from plmlight.networks.glove import GloVe
from plmlight.networks.gpt import GPT
from plmlight.networks.lstm_lm import LSTMLM
from plmlight.networks.lstm_seq2seq import LSTMSeq2Seq
from plmlight.networks.ngram import NGram
from plmlight.networks.nnlm import NNLM
from plmlight.networks.pair import EncoderDecoderPair
from plmlight.networks.roberta import RoBERTa
from plmlight.networks.t5 import T5
from plmlight.networks.transformer import Transformer
from plmlight.networks.word2vec import Word2Vec
from plmlight.networks.xlm import XLM
from plmlight.networks.xlnet import XLNet

__all__ = [
    "ALBERT",
    "BERT",
    "GPT",
    "LSTMLM",
    "NNLM",
    "T5",
    "XLM",
    "BagOfVectors",
    "BiLSTM",
    "EncoderDecoderPair",
    "GloVe",
    "LSTMSeq2Seq",
    "NGram",
    "RoBERTa",
    "Transformer",
    "Word2Vec",
    "XLNet",
]
