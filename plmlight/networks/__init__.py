from plmlight.networks.albert import ALBERT
from plmlight.networks.bert import BERT
from plmlight.networks.gpt import GPT
from plmlight.networks.roberta import RoBERTa
from plmlight.networks.transformer import Transformer
from plmlight.networks.xlm import XLM

__all__ = ["ALBERT", "BERT", "GPT", "XLM", "RoBERTa", "Transformer"]
